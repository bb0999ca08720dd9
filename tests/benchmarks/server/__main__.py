"""The bars of the server under load, on this machine: ``python -m tests.benchmarks.server``.

Server, bare application and client share the processors, as processes. Run it on a quiet machine. The exit code is 1 if a bar is
missed. The load average before and after the run is printed with the figures.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from prebake.docker.connection import ensure_engine
from tests.benchmarks.server.batching import measure_batching
from tests.benchmarks.server.saturation import CLIENTS, PLACES, WORKERS, measure_saturation
from tests.benchmarks.server.servers import copy_models
from tests.benchmarks.server.throughput import CONNECTIONS, measure_throughput
from tests.long.program import add_image_flags, image_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.server", description=__doc__)
    add_image_flags(parser)
    parser.add_argument("--rounds", type=int, default=5, help="of throughput (default: 5)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of load for each server in a round (default: 10)")
    options = parser.parse_args()
    if options.model != "minilm":
        parser.error("the bare application is one of minilm")
    load = os.getloadavg()[0]
    engine = ensure_engine()
    with tempfile.TemporaryDirectory(prefix="prebake-bench-") as name:
        folder = Path(name)
        with image_of(options, engine, folder) as image:
            models = copy_models(engine, image, folder)
        throughput = measure_throughput(models, folder, options.rounds, options.seconds)
        print(f"minilm, {CONNECTIONS} connections, {options.seconds:g} s a round\n", *throughput.lines, sep="\n")
        batching = measure_batching(models, folder, options.rounds, options.seconds)
        print("\nwith batches and without, one sentence a request\n", *batching.lines, sep="\n")
        saturation = measure_saturation(models, folder, options.seconds)
        print(f"\n{CLIENTS} clients, {WORKERS} worker, {PLACES} places in the queue\n", *saturation.lines, sep="\n")
    print(
        f"\nload average: {load:.1f} before the run, {os.getloadavg()[0]:.1f} in its last minute; {os.cpu_count()} cores"
    )
    missed = [*throughput.findings, *batching.findings, *saturation.findings]
    print(*(f"missed: {each}" for each in missed), sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
