"""The components of a model: how they are opened together, or one after the other within a memory budget."""
