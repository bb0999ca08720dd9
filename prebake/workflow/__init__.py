"""The job of each command: read, plan, run, verify, report. The only room that composes the others."""
