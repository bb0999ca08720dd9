"""The pipeline of a build: look, plan the steps, run them, assemble the image, report."""
