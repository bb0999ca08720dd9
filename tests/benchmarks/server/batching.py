"""Throughput of minilm at 16 connections with batches, against the same server without (``PREBAKE_BATCH_SIZE=1``).

Each request has one sentence. Both servers run all the time, and the load goes to one of them at a time, in alternating order.
The bar is the median of the rounds' ratios. A single connection gets the same load, too: its latency must not grow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from prebake.measure.bench.statistics import percentile
from tests.benchmarks.server.servers import Served, prebake_server
from tests.support.measure.closed_loop import Answer, Load, measure

CONNECTIONS = 16
MIN_RATIO = 1.8
MAX_LATENCY_RATIO = 1.05
"""Of the medians of a round, by a single connection. 5% are what two servers with the same settings may differ by."""
BATCHED, SINGLE = "batches", "one by one"
BODY = json.dumps({"texts": "A container starts warm and answers its first request."}).encode()


@dataclass(frozen=True)
class Batching:
    """By server and round: answers a second at 16 connections, seconds of processor time for each of them, and the median latency
    of a single connection in seconds. ``latencies`` at 16 connections, of all rounds."""

    rates: Mapping[str, Sequence[float]]
    costs: Mapping[str, Sequence[float]]
    medians: Mapping[str, Sequence[float]]
    latencies: Mapping[str, Sequence[float]]

    @property
    def ratio(self) -> float:
        return median_ratio(self.rates)

    @property
    def latency_ratio(self) -> float:
        return median_ratio(self.medians)

    @property
    def findings(self) -> list[str]:
        found = []
        if self.ratio < MIN_RATIO:
            found.append(f"batches: the median ratio of throughput is {self.ratio:.2f}, the bar is {MIN_RATIO}")
        if self.latency_ratio > MAX_LATENCY_RATIO:
            found.append(f"batches: a single connection waits {self.latency_ratio:.2f} times as long")
        return found

    @property
    def lines(self) -> list[str]:
        found = [f"{'':<10}" + "".join(f"{name:>18}" for name in (BATCHED, SINGLE)) + f"{'ratio':>10}"]
        for number, (batched, single) in enumerate(zip(self.rates[BATCHED], self.rates[SINGLE], strict=True), 1):
            found.append(f"round {number:<4}{batched:>16.1f}/s{single:>16.1f}/s{batched / single:>10.2f}")
        rows = (
            ("CPU", {name: median(values) for name, values in self.costs.items()}, "an answer's"),
            ("p50", {name: percentile(sorted(values), 0.5) for name, values in self.latencies.items()}, ""),
            ("p99", {name: percentile(sorted(values), 0.99) for name, values in self.latencies.items()}, ""),
            ("alone", {name: median(values) for name, values in self.medians.items()}, "p50 of one connection"),
        )
        found.append(f"median of the ratios: {self.ratio:.2f} (at least {MIN_RATIO})")
        found += [
            f"{name:<10}{values[BATCHED] * 1e3:>15.2f} ms{values[SINGLE] * 1e3:>15.2f} ms  {note}".rstrip()
            for name, values, note in rows
        ]
        return [*found, f"alone, median of the ratios: {self.latency_ratio:.3f} (at most {MAX_LATENCY_RATIO})"]


def median_ratio(values: Mapping[str, Sequence[float]]) -> float:
    return median(batched / single for batched, single in zip(values[BATCHED], values[SINGLE], strict=True))


def measure_batching(models: Path, folder: Path, rounds: int, seconds: float) -> Batching:
    rates, costs, medians, latencies = ({name: list[float]() for name in (BATCHED, SINGLE)} for _ in range(4))
    single_folder = folder / "single"
    single_folder.mkdir()
    with (
        prebake_server(models, folder) as batched,
        prebake_server(models, single_folder, PREBAKE_BATCH_SIZE="1") as single,
    ):
        servers = {BATCHED: batched, SINGLE: single}
        for server in servers.values():
            load(server, CONNECTIONS, min(2.0, seconds))
        for number in range(rounds):
            for name in (BATCHED, SINGLE) if number % 2 == 0 else (SINGLE, BATCHED):
                before = servers[name].read_cpu_seconds()
                answers = load(servers[name], CONNECTIONS, seconds)
                costs[name].append((servers[name].read_cpu_seconds() - before) / len(answers))
                rates[name].append(sum(answer.at < seconds for answer in answers) / seconds)
                latencies[name] += [answer.seconds for answer in answers]
                medians[name].append(median(answer.seconds for answer in load(servers[name], 1, seconds / 3)))
    return Batching(rates, costs, medians, latencies)


def load(server: Served, connections: int, seconds: float) -> Sequence[Answer]:
    """Raises RuntimeError if an answer has no embedding."""
    answers = measure(server.port, Load("/generate", BODY, connections, seconds))
    if {(answer.status, answer.size > 1000) for answer in answers} != {(200, True)}:
        raise RuntimeError(f"the server does not answer with embeddings: {answers[:3]}")
    return answers
