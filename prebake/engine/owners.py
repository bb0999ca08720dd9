"""Which process a container belongs to, so that what a killed one left can be told from what another still uses."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def owner_label(pid: int) -> str:
    """A process of this machine as a container's owner: its number, and where that number means something. Others may use
    the same Engine, from other machines and from containers with process numbers of their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()} {pid}"
    except OSError:  # no Linux
        return f"{platform.node()} {pid}"


def has_ended(owner: str) -> bool:
    """Whether it is a process of this machine that has ended."""
    number = owner.rpartition(" ")[2]
    if not number.isdecimal() or owner != owner_label(int(number)):
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it runs as somebody else
        pass
    return False
