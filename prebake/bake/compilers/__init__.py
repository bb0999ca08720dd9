"""Compilers: they compile a component to artifacts for one kind of machine. The port, and a module for each compiler."""
