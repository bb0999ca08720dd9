"""What ``prebake init`` can begin with: a module for each kind of checkpoint, found by ``recognise``."""
