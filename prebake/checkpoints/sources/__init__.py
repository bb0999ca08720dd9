"""The kinds of source that a checkpoint may come from."""
