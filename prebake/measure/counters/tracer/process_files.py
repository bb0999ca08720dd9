"""What /proc says of a traced thread. Nothing here fails if the thread has ended."""

from __future__ import annotations

import os
import stat


def path_of(thread: int, descriptor: int) -> str:
    """The path of an open file; empty if it is a socket, a pipe, or something else without a name."""
    try:
        path = os.readlink(f"/proc/{thread}/fd/{descriptor & 0xFFFFFFFF}")
    except OSError:
        return ""
    return path if path.startswith("/") else ""


def regular_size(thread: int, descriptor: int) -> int | None:
    """The bytes of an open file; None if it is a folder, a device or no file."""
    try:
        facts = os.stat(f"/proc/{thread}/fd/{descriptor & 0xFFFFFFFF}")
    except OSError:
        return None
    return facts.st_size if stat.S_ISREG(facts.st_mode) else None


def process_of(thread: int) -> int:
    try:
        with open(f"/proc/{thread}/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Tgid:"))
    except (OSError, StopIteration):
        return thread


def read_stat(path: str) -> list[str]:
    """The fields of /proc/…/stat from the state on; empty if it has ended."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def state_of(thread: int) -> str:
    fields = read_stat(f"/proc/{thread}/stat")
    return fields[0] if fields else "X"


def read_faults(process: int) -> tuple[int, int]:
    """Minor and major page faults of all threads of a process."""
    fields = read_stat(f"/proc/{process}/stat")
    return (int(fields[7]), int(fields[9])) if fields else (0, 0)
