"""Values to the Plan: layers, keys, room needed. Pure: no disk, clock, network or environment."""
