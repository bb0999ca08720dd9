"""What a change of code costs: ``python -m tests.benchmarks.change --model minilm``; `make bench` runs it.

In a clone of this project: a push and a pull into the Engine, then the entrypoint is edited and both are done again. What is
printed is the whole command's time, BuildKit's own part of it (it makes the code layer), and the bytes that moved.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from prebake.docker.connection import ensure_engine
from prebake.measure.report.report_files import write_document
from tests.support.commands.projects import Project, clone, reach
from tests.support.registries.registry import running_registry

TAG = "prebake-bench:change"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prebake-bench-") as name, running_registry(Path(name)) as address:
        project = clone(Path(name, "project"), asked.model, variables=reach(ensure_engine()))
        places = {"registry": f"registry:{address}/bench/{asked.model}:v1", "Engine": "docker"}
        found: dict[str, list[dict[str, float]]] = {place: [] for place in places}
        for number in range(asked.rounds + 1):  # the first one is before any change, and not counted
            edit(project)
            for place, output in places.items():
                cost = build(project, asked.model, output)
                print(f"round {number}: {place} {cost}", file=sys.stderr, flush=True)
                found[place] += [cost] if number else []
                edit(project)
    show(asked.model, found)


def edit(project: Project) -> None:
    """As no earlier run did: what a builder made once it knows."""
    path = project.root / "entrypoints" / "processes" / "log.py"
    path.write_text(f"{path.read_text()}\n# {uuid.uuid4()}\n")


def build(project: Project, model: str, output: str) -> dict[str, float]:
    """Seconds: of the command but for starting and comparing the image, of BuildKit, of what is left; bytes sent."""
    began = time.perf_counter()
    project.run("--model", model, "--tag", TAG, "--output", output).expect(0)
    report: dict[str, Any] = project.report(model)
    whole = time.perf_counter() - began - report["step_seconds"].get("verify", 0.0)
    (sent,) = [each["bytes"] for each in report["outputs"].values()]
    beyond = whole - report["buildkit_seconds"]
    return {"seconds": whole, "buildkit": report["buildkit_seconds"], "beyond": beyond, "bytes": sent}


def show(model: str, found: dict[str, list[dict[str, float]]]) -> None:
    write_document(Path("build/bench/change.json"), found)
    print(f"{model} after a change of code, medians of {len(found['Engine'])}, seconds")
    for place, costs in found.items():
        whole, buildkit, beyond, sent = (
            statistics.median(cost[key] for cost in costs) for key in ("seconds", "buildkit", "beyond", "bytes")
        )
        print(
            f"  into the {place:9} {whole:6.2f}, of which BuildKit {buildkit:5.2f}, beyond it {beyond:5.2f}; {sent / 1e6:.2f} MB"
        )


if __name__ == "__main__":
    main()
