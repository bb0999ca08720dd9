"""What performance mode gains on this machine, and what it allocates: ``python -m tests.benchmarks.server.performance_mode``.

Two servers of minilm run side by side, one in each mode, and get the same request in turn. It prints a table.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from entrypoints.hardware.process_memory import read_process_memory
from prebake.docker.connection import ensure_engine
from prebake.measure import client
from tests.benchmarks.server.servers import Served, copy_models, find_children, prebake_server
from tests.long.program import add_image_flags, image_of
from tests.long.section import table

SENTENCES = (1, 32)
WARM_UP = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.server.performance_mode", description=__doc__)
    add_image_flags(parser)
    parser.add_argument("--pairs", type=int, default=60, help="of requests for each number of sentences (default: 60)")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    engine = ensure_engine()
    with tempfile.TemporaryDirectory(prefix="prebake-bench-") as name:
        folder = Path(name)
        with image_of(options, engine, folder) as image:
            models = copy_models(engine, image, folder)
        rows = [measure(models, folder / str(number), number, options.pairs) for number in SENTENCES]
    head = ("sentences", "standard", "performance", "performance / standard", "allocated", "allocated, performance")
    print(*table(head, rows), sep="\n")
    print(
        f"load average: {load:.1f} before the run, {os.getloadavg()[0]:.1f} in its last minute; {os.cpu_count()} cores"
    )
    return 0


def measure(models: Path, folder: Path, sentences: int, pairs: int) -> tuple[str, ...]:
    """The row of a request with so many sentences: medians, and the memory of the model processes that is in no file."""
    text = "\n".join(f"sentence number {number} about a river in the evening" for number in range(sentences))
    for name in ("standard", "performance"):
        (folder / name).mkdir(parents=True)
    with (
        prebake_server(models, folder / "standard") as standard,
        prebake_server(models, folder / "performance", PREBAKE_MODE="performance") as performance,
    ):
        times = [(ask(standard, text), ask(performance, text)) for _ in range(WARM_UP + pairs)][WARM_UP:]
        allocated = [read_allocated(served) for served in (standard, performance)]
    ratio = median(ours / other for other, ours in times)
    medians = (median(each) for each in zip(*times, strict=True))
    return str(sentences), *(f"{each * 1e3:.1f} ms" for each in medians), f"{ratio:.2f}", *allocated


def ask(served: Served, text: str) -> float:
    """Seconds of one request."""
    begun = time.perf_counter()
    reply = client.post(served.port, client.Request({"texts": text}))
    assert reply.status == 200, reply.body
    return time.perf_counter() - begun


def read_allocated(served: Served) -> str:
    (process,) = find_children(served.process)
    return f"{read_process_memory(process)['Pss_Anon'] / 2**20:.0f} MiB"


if __name__ == "__main__":
    sys.exit(main())
