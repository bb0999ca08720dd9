"""Functions that read the files of clients, run in processes that can be killed (docs/decisions/0044)."""
