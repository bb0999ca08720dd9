"""What one start does, counted exactly: modules, files, bytes, page faults, system calls, threads; and compared with another.

Such counts do not depend on the machine's noise, so that one start of each image shows a difference (docs/concepts/counters.md).
"""
