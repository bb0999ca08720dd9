"""The program that counts one start, inside the container.

It needs the standard library of Python 3.11 and Linux 5.3 on x86_64 or aarch64, and no privilege: a process may trace its own
children. These modules import nothing else of this project; ``prebake.measure.counters.tracer_command`` hands them over.
"""
