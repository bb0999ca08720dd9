"""The counters of one start (modules, files, bytes, page faults, system calls, threads), and their comparison with another's.

They hardly depend on the machine's noise, so that one start of each image shows a difference (docs/concepts/counters.md).
"""
