"""Downloads of published checkpoints into a content-addressed store. Every file is verified."""
