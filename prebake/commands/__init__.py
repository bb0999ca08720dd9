"""The commands: one file for each, with its flags, the request that they make, and the action that carries it out."""
