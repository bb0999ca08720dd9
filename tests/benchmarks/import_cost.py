"""Compares what a start imports with another checkout's: ``python -m tests.benchmarks.import_cost OTHER --runs 25``.

Processor time and modules of fresh processes, in turn: until the bind, until liveness (the server process), and until the
model process begins to read the manifest. docs/decisions/0033 has its figures. OTHER may be of before the sub-packages.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

import numpy

from tests.support.repository import ROOT

BIND = ["processes.exit", "processes.timeline", "settings"]
MODEL = [*BIND, "model.process", "processes.channel"]
PARTS = {
    "bind": BIND,
    "live": [*MODEL, "server.server", "server.uvicorn_server"],
    "model process": MODEL,
}
FLAT = {
    "processes.exit": "ending",
    "processes.timeline": "timeline",
    "processes.channel": "channel",
    "model.process": "model_process",
    "server.server": "process",
    "server.uvicorn_server": "listener",
}
"""Names of modules before they lay in sub-packages."""
PROGRAM = """
import sys, time
sys.path[:0] = sys.argv[1:3]
before, start = len(sys.modules), time.process_time()
for name in sys.argv[3:]:
    __import__(name)
print(len(sys.modules) - before, (time.process_time() - start) * 1e3)
"""


def measure(root: Path, modules: list[str]) -> tuple[int, float]:
    """Modules that were imported, and milliseconds of processor time."""
    flat = not (root / "entrypoints/server").is_dir()
    names = [f"entrypoints.{FLAT.get(name, name) if flat else name}" for name in modules]
    packages = Path(numpy.__file__).parents[1]
    command = [sys.executable, "-S", "-c", PROGRAM, str(root), str(packages), *names]
    count, milliseconds = subprocess.check_output(command, text=True).split()
    return int(count), float(milliseconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path)
    parser.add_argument("--runs", type=int, default=25)
    arguments = parser.parse_args()
    roots = {"other": arguments.other.resolve(), "this": ROOT}
    for part, modules in PARTS.items():
        runs = [{name: measure(root, modules) for name, root in roots.items()} for _ in range(arguments.runs + 1)][1:]
        ratio = statistics.median(run["this"][1] / run["other"][1] for run in runs)
        each = (
            f"{name} {runs[0][name][0]} modules, {statistics.median(run[name][1] for run in runs):.1f} ms"
            for name in roots
        )
        print(f"{part:14} {'; '.join(each)}; ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
