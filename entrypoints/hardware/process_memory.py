"""The memory of one process, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path


def read_process_memory(process: int) -> dict[str, int]:
    """Bytes by field of ``/proc/PID/smaps_rollup`` (proc(5)). ``Pss`` is the proportional set size, in which a page that n
    processes map counts 1/n for each; ``Pss_Anon`` is the part of it that is in no file. Empty if the process has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return {}
    parts = (line.split() for line in lines if line.endswith(" kB"))
    return {part[0].rstrip(":"): int(part[1]) * 1024 for part in parts}
