"""``/etc/os-release``: which Linux distribution a machine or an image has (os-release(5))."""

from __future__ import annotations

from pathlib import Path

OS_RELEASE = Path("/etc/os-release")


def read_os_release(file: Path = OS_RELEASE) -> dict[str, str]:
    """Its fields, such as ``ID`` and ``VERSION_CODENAME``; none if there is no such file."""
    lines = file.read_text().splitlines() if file.exists() else []
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines) if value}
