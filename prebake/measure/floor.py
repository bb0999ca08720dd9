"""The floor: the time that no start of this container could beat on this machine.

``floor = container start of an empty program + weight bytes / measured read bandwidth + one steady-state inference``
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median

from prebake.measure.ports import Launcher

# Reads the bytes that the graphs use as the server does, in large sequential reads into one buffer. Prints a line with bytes and
# seconds for each round; its argument is the number of rounds.
READ_WEIGHTS_SCRIPT = """
import json, sys, time
read = lambda name: json.load(open("/models/" + name))
top = read("manifest.json")
models = [read(each["manifest"]) for each in top["models"].values()] if "models" in top else [top]
components = [component for model in models for component in model["components"].values()]
spans = {(f, o, n) for c in components for f, rs in c["byte_ranges"].items() for o, n in rs}
buffer = memoryview(bytearray(1 << 22))
for _ in range(int(sys.argv[1])):
    total = 0; begin = time.perf_counter()
    for name, offset, left in sorted(spans):
        with open("/models/" + name, "rb", buffering=0) as file:
            file.seek(offset)
            while left > 0 and (count := file.readinto(buffer[: min(left, len(buffer))])):
                left -= count; total += count
    print(json.dumps({"bytes": total, "seconds": time.perf_counter() - begin}))
"""


@dataclass(frozen=True)
class Floor:
    """Seconds, but ``weight_bytes`` in bytes and ``bandwidth`` in bytes a second."""

    empty_start: float
    weight_bytes: int
    bandwidth: float
    steady: float

    @property
    def seconds(self) -> float:
        return self.empty_start + (self.weight_bytes / self.bandwidth if self.bandwidth else 0.0) + self.steady


def measure_floor(launcher: Launcher, image: str, steady: float, *, runs: int = 5) -> Floor:
    """Measure the start of an empty program and the read bandwidth in the same image; ``steady`` was measured before."""
    empty = median(launcher.time_program(image, ["true"]) for _ in range(runs))
    output = launcher.run(image, ["python3", "-c", READ_WEIGHTS_SCRIPT, str(runs)])
    reads = [json.loads(line) for line in output.splitlines()]
    weight_bytes = int(reads[0]["bytes"])
    bandwidth = median(weight_bytes / max(read["seconds"], 1e-9) for read in reads)
    return Floor(empty, weight_bytes, bandwidth, steady)
