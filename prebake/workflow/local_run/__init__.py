"""``prebake run``: a built image on this machine, and the restart of its model after changes of the code."""
