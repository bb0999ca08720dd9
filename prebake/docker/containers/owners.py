"""The process that owns a container. It distinguishes containers of killed processes from those in use."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def owner_label(pid: int) -> str:
    """A process of this machine as a container's owner: its number, and the boot and the PID namespace in which the number is
    valid. Processes of other machines and of containers may use the same Engine."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()} {pid}"
    except OSError:  # not Linux
        return f"{platform.node()} {pid}"


def has_ended(owner: str) -> bool:
    """Whether the owner is a process of this machine that has ended."""
    number = owner.rpartition(" ")[2]
    if not number.isdecimal() or owner != owner_label(int(number)):
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's process
        pass
    return False
