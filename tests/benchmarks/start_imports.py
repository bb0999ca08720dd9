"""Times what the server imports, each part in fresh processes, in turn: ``python -m tests.benchmarks.start_imports``.

docs/concepts/startup.md has the table that it prints.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

LIVE = "import entrypoints.server.server_process, entrypoints.server.http.listener"
PARTS = {
    "nothing": "",
    "asyncio": "import asyncio",
    "what liveness needs": LIVE,
    "uvicorn with h11, plainly": "import uvicorn, uvicorn.protocols.http.h11_impl",
    "h11": "import h11",
    "entrypoints.server.http.listener": "import entrypoints.server.http.listener",
    "numpy": "import numpy",
    "numpy and ONNX Runtime": "import numpy, onnxruntime",
    "everything, in one process": LIVE + ", entrypoints.model.preload, numpy, onnxruntime",
}
# What the server sets for itself; see entrypoints/serve.py.
ENVIRON = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_THREAD_TIMEOUT": "4"}


def time_import(statement: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], env=ENVIRON, check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in PARTS}
    for _ in range(arguments.runs + 1):
        for name, statement in PARTS.items():
            times[name].append(time_import(statement) * 1e3)
    print(f"milliseconds, median (least) of {arguments.runs} fresh processes")
    for name, measured in times.items():
        print(f"  {name:45}{statistics.median(measured[1:]):6.0f} ({min(measured[1:]):.0f})")


if __name__ == "__main__":
    main()
