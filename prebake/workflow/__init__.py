"""The story of each verb: read, plan, carry out, verify, report. The one place that composes the other packages."""
