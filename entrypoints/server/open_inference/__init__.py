"""The Open Inference Protocol in the server process: its paths, and the models that it unloads and loads again."""
