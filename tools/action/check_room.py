"""Compare the free disk space with what the build needs, before anything is built."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tools.action.github.log import annotate
from tools.action.plan import cache_folder
from tools.action.settings import read_json, read_settings

NO_ROOM_EXIT_CODE = 24
"""The exit code of Prebake's NoRoom."""
_BUILDS = ("stage image", "export", "compile", "join", "layer")
_PREINSTALLED = (
    "/usr/local/lib/android",
    "/usr/share/dotnet",
    "/opt/ghc",
    "/opt/hostedtoolcache/CodeQL",
    "/usr/share/swift",
)
"""Large folders of GitHub's runner images (actions/runner-images) that no build of Prebake reads."""


def main() -> int:
    settings = read_settings()
    needs = needed_bytes(read_json(settings.file("plan.json")))
    disks = group_by_disk({"store": cache_folder(), "engine": _engine_folder()}, needs)
    problems = lacking(disks, free_bytes)
    for problem in problems:
        annotate("error", problem, title="Too little disk space")
    if not problems:
        wanted = "; ".join(f"{path}: {_gigabytes(need)} needed" for path, need in disks.items())
        print(f"Disk space: {wanted}.")
    return NO_ROOM_EXIT_CODE if problems else 0


def needed_bytes(plan: Mapping[str, Any]) -> dict[str, int]:
    """Bytes in the store and at the Engine, at most. A step of the plan that does not run needs none."""
    running = {step["action"] for step in plan.get("pipeline", ()) if step["state"] in ("run", "conditional")}
    room = plan.get("room", {})
    return {
        "store": int(room.get("store", 0)) if "fetch" in running else 0,
        "engine": int(room.get("engine", 0)) if running.intersection(_BUILDS) else 0,
    }


def group_by_disk(folders: Mapping[str, Path], needs: Mapping[str, int]) -> dict[Path, int]:
    """The bytes for each disk, named by the first of its folders."""
    places: dict[int, Path] = {}
    total: dict[Path, int] = {}
    for name, folder in folders.items():
        there = _existing(folder)
        place = places.setdefault(there.stat().st_dev, there)
        total[place] = total.get(place, 0) + needs[name]
    return total


def lacking(disks: Mapping[Path, int], free: Callable[[Path], int]) -> list[str]:
    """One sentence for each disk with too little space: how much, and what to remove."""
    large = [folder for folder in _PREINSTALLED if Path(folder).is_dir()]
    advice = f"remove {', '.join(large)} (`sudo rm -rf`), if no step of this job needs them; " if large else ""
    return [
        f"The build needs up to {_gigabytes(need)} on the disk of {place}, and {_gigabytes(free(place))} are free. "
        f"To free space, {advice}run `docker system prune --all`, or set PREBAKE_CACHE to a larger disk."
        for place, need in disks.items()
        if free(place) < need
    ]


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write on the folder's disk."""
    statistics = os.statvfs(folder)
    return statistics.f_bavail * statistics.f_frsize


def _engine_folder() -> Path:
    """The folder of the Engine's images; the root if no Engine says it, or if it is not on this machine."""
    command = ["docker", "info", "--format", "{{.DockerRootDir}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return Path("/")
    return Path(done.stdout.strip() or "/") if done.returncode == 0 else Path("/")


def _existing(folder: Path) -> Path:
    while not os.path.exists(folder):  # noqa: PTH110  Path.exists raises an error for a folder that this user may not see
        folder = folder.parent
    return folder


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
