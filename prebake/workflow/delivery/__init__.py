"""Where an image goes: the Engine, a registry, a layout; and what is attached to it there."""
