"""The page ``/metrics``. Imported with the first request for it: no start waits for it."""
