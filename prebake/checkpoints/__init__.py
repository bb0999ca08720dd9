"""Bytes in: checkpoints from where they are published into a content-addressed store, verified on the way."""
