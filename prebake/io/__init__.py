"""Files, locks, threads, subprocesses, retries and the terminal: the tools of every package with effects."""
