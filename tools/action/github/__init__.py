"""GitHub Actions as the steps see it: the log and the output files, the event, the API, the checkout."""
