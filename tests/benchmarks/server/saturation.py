"""Latency of minilm with more clients than it has workers and places in its queue.

The rule: a request that is accepted waits at most for all places of the queue before it, and then for its own work. So the 99th
percentile of the time of accepted requests is at most (places / workers + 1) times the 99th percentile of the model's work, as
Server-Timing has it. A request that is refused gets its 503 at once: the 99th percentile is at most the places times the mean
work, after which a place would have been free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from prebake.measure.bench.statistics import percentile
from tests.benchmarks.server.servers import prebake_server
from tests.benchmarks.server.throughput import BODY
from tests.support.measure.closed_loop import Answer, Load, measure

PLACES = 16
"""``limits.queue`` of minilm: the default of ``entrypoints.manifest.values.Limits``."""
WORKERS = 1
CLIENTS = 48
PAUSE_SECONDS = 0.2
"""Of a client that was refused. Retry-After would be a second; without any pause the refusals alone would fill the processors."""


@dataclass(frozen=True)
class Saturation:
    answers: Sequence[Answer]

    def seconds(self, status: int) -> list[float]:
        return sorted(answer.seconds for answer in self.answers if answer.status == status)

    @property
    def work(self) -> list[float]:
        return sorted(answer.work for answer in self.answers if answer.status == 200)

    @property
    def bound(self) -> float:
        """Of the 99th percentile of accepted requests, in seconds."""
        return (PLACES / WORKERS + 1) * percentile(self.work, 0.99)

    @property
    def refusal_bound(self) -> float:
        return PLACES * fmean(self.work)

    @property
    def findings(self) -> list[str]:
        found = [f"status {status}" for status in sorted({each.status for each in self.answers} - {200, 503})]
        accepted, refused = self.seconds(200), self.seconds(503)
        if not accepted or not refused:
            return [*found, "saturation: no request was accepted, or none refused"]
        if (p99 := percentile(accepted, 0.99)) > self.bound:
            found.append(f"saturation: the p99 of accepted requests is {p99:.3f} s, the bound {self.bound:.3f} s")
        if (p99 := percentile(refused, 0.99)) > self.refusal_bound:
            found.append(f"saturation: the p99 of refusals is {p99:.3f} s, the bound {self.refusal_bound:.3f} s")
        return found

    @property
    def lines(self) -> list[str]:
        head = f"{'':<12}{'answers':>10}{'p50':>12}{'p99':>12}{'bound of p99':>16}"
        rows = (
            ("accepted", self.seconds(200), self.bound),
            ("refused", self.seconds(503), self.refusal_bound),
            ("work", self.work, None),
        )
        return [head, *(describe(name, times, bound) for name, times, bound in rows if times)]


def describe(name: str, ordered: Sequence[float], bound: float | None) -> str:
    shares = "".join(f"{percentile(ordered, share) * 1e3:>9.1f} ms" for share in (0.5, 0.99))
    return f"{name:<12}{len(ordered):>10}{shares}{f'{bound * 1e3:>13.1f} ms' if bound is not None else ''}"


def measure_saturation(models: Path, folder: Path, seconds: float) -> Saturation:
    with prebake_server(models, folder, PREBAKE_WORKERS=str(WORKERS), PREBAKE_BATCH_SIZE="1") as server:
        measure(server.port, Load("/generate", BODY, WORKERS, min(2.0, seconds)))
        return Saturation(measure(server.port, Load("/generate", BODY, CLIENTS, seconds, PAUSE_SECONDS)))
