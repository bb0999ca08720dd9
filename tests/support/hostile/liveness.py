"""Probes of ``/v2/health/live`` in a process of their own, so that a busy client does not delay them.

``python -m tests.support.hostile.liveness PORT`` probes until its stdin ends, and prints what it saw.
"""

from __future__ import annotations

import http.client
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from tests.support.repository import ROOT

INTERVAL_SECONDS = 0.05
PATIENCE_SECONDS = 30.0


@dataclass
class Probes:
    """``slowest`` in seconds. ``failures``: probes that were not answered with 200. All are set once the block is left."""

    count: int = 0
    slowest: float = 0.0
    late: int = 0
    """Those that took more than a second."""
    failures: list[str] = field(default_factory=list)

    def probe(self, port: int) -> None:
        began = time.monotonic()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
            connection.request("GET", "/v2/health/live")
            status = connection.getresponse().status
            connection.close()
            if status != 200:
                self.failures.append(f"status {status}")
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(type(error).__name__)
        seconds = time.monotonic() - began
        self.count += 1
        self.slowest = max(self.slowest, seconds)
        self.late += seconds > 1


@contextmanager
def probing(port: int) -> Iterator[Probes]:
    """Each probe is a connection of its own, as the kubelet's are."""
    probes = Probes()
    command = [sys.executable, "-m", "tests.support.hostile.liveness", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield probes
        printed, _ = process.communicate(timeout=2 * PATIENCE_SECONDS)
        vars(probes).update(json.loads(printed))
    finally:
        process.kill()
        process.wait()


def main() -> None:
    probes, port = Probes(), int(sys.argv[1])
    while not select.select([sys.stdin], [], [], INTERVAL_SECONDS)[0]:
        probes.probe(port)
    print(json.dumps(asdict(probes)))


if __name__ == "__main__":
    main()
