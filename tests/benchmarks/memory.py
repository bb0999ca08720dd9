"""What a build takes of memory and disk as weights grow: ``python -m tests.benchmarks.memory --gib 2 --gib 8``.

The tests' own model with that much of random ballast beside its weights is locked, built and pushed to a registry on loopback
by the real commands, in a store of its own. Memory is the command's peak (its own, not that of the Engine and the registry),
disk what the store holds afterwards. A build may not grow with the weights, and keeps one copy of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from prebake.docker.connection import ensure_engine
from prebake.measure.report.report_files import write_document
from tests.benchmarks.push import storage
from tests.support.commands.projects import Project, change_spec, clone, reach
from tests.support.registries.registry import running_registry

BALLAST = "first/ballast.dat"
PIECE = 64 << 20
# VmHWM (proc(5)): ru_maxrss would also count what this process had when it forked.
COMMAND = """
import re, sys
from prebake.cli import main
code = main(sys.argv[2:])
open(sys.argv[1], "w").write(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, action="append")
    found = {gib: measure(int(gib * 2**30)) for gib in parser.parse_args().gib or [2.0, 8.0]}
    write_document(Path("build/bench/memory.json"), {str(gib): costs for gib, costs in found.items()})
    print("GiB of weights   peak of lock   peak of build and push   store against the weights")
    for gib, costs in found.items():
        lock, build, kept = costs["lock"] / 2**20, costs["build"] / 2**20, costs["store"] / (gib * 2**30)
        print(f"{gib:14g}   {lock:8.0f} MiB   {build:18.0f} MiB   {kept:11.3f} times")


def measure(size: int) -> dict[str, int]:
    """Bytes."""
    with (
        tempfile.TemporaryDirectory(prefix="prebake-bench-") as name,
        storage(size) as place,
        running_registry(place) as address,
    ):
        cache = Path(name, "cache")
        project = clone(Path(name, "project"), "toy", variables=reach(ensure_engine()))
        change_spec(project, ship_ballast)
        write_random(project.root / "checkpoint" / BALLAST, size)
        lock = run(project, cache, "lock", "--model", "toy")
        shutil.rmtree(project.root / "checkpoint")  # the store has it now
        build = run(project, cache, "build", "--model", "toy", "--output", f"registry:{address}/bench/toy:v1")
        store = sum(path.stat().st_blocks * 512 for path in (cache / "store").rglob("*") if path.is_file())
        return {"lock": lock, "build": build, "store": store}


def ship_ballast(document: dict[str, Any]) -> None:
    (source,) = document["checkpoints"]["small"]["sources"]
    source["files"].append(BALLAST)
    source["ship"].append(BALLAST)


def write_random(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for start in range(0, size, PIECE):
            file.write(os.urandom(min(PIECE, size - start)))


def run(project: Project, cache: Path, *words: str) -> int:
    """One command to its end; the bytes of its peak."""
    peak = project.root / "peak"
    environment = project.environment(PREBAKE_CACHE=str(cache), PYTHONPATH=str(project.root))
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, str(peak), *words],
        cwd=project.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    return int(peak.read_text()) << 10


if __name__ == "__main__":
    main()
