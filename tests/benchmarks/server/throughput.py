"""Throughput of minilm at 16 connections, against a bare Starlette application with the same session, both without batches.

Both servers run all the time, and the load goes to one of them at a time. In each of five rounds both get the same load for the
same time, in alternating order. The bar is the median of the rounds' ratios.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from prebake.measure.bench.statistics import percentile
from tests.benchmarks.server.servers import bare_server, prebake_server
from tests.support.measure.closed_loop import Answer, Load, measure

CONNECTIONS = 16
MIN_RATIO = 0.95
PREBAKE, BARE = "prebake", "bare Starlette"
BODY = json.dumps({"texts": "A container starts warm.\nIts weights lie in the image."}).encode()


@dataclass(frozen=True)
class Throughput:
    """Answers a second, and seconds of processor time for each answer, by server and round. ``latencies`` in seconds, of all
    rounds."""

    rates: Mapping[str, Sequence[float]]
    costs: Mapping[str, Sequence[float]]
    latencies: Mapping[str, Sequence[float]]

    @property
    def ratios(self) -> list[float]:
        return [ours / bare for ours, bare in zip(self.rates[PREBAKE], self.rates[BARE], strict=True)]

    @property
    def findings(self) -> list[str]:
        if median(self.ratios) >= MIN_RATIO:
            return []
        return [f"throughput: the median ratio is {median(self.ratios):.3f}, the bar is {MIN_RATIO}"]

    @property
    def lines(self) -> list[str]:
        found = ["round   " + "".join(f"{name:>18}" for name in (PREBAKE, BARE)) + f"{'ratio':>10}"]
        for number, ratio in enumerate(self.ratios):
            rates = "".join(f"{self.rates[name][number]:>16.1f}/s" for name in (PREBAKE, BARE))
            found.append(f"{number + 1:<8}{rates}{ratio:>10.3f}")
        rates = "".join(f"{median(self.rates[name]):>16.1f}/s" for name in (PREBAKE, BARE))
        found.append(f"median  {rates}{median(self.ratios):>10.3f}  (at least {MIN_RATIO})")
        costs = "".join(f"{median(self.costs[name]) * 1e3:>15.2f} ms" for name in (PREBAKE, BARE))
        found.append(f"CPU     {costs}{median(self.costs[PREBAKE]) / median(self.costs[BARE]):>10.3f}  (of an answer)")
        for share in (0.5, 0.99):
            times = "".join(
                f"{percentile(sorted(self.latencies[name]), share) * 1e3:>15.1f} ms" for name in (PREBAKE, BARE)
            )
            found.append(f"{f'p{share * 100:g}':<8}{times}")
        return found


def measure_throughput(models: Path, folder: Path, rounds: int, seconds: float) -> Throughput:
    load = Load("/generate", BODY, CONNECTIONS, seconds)
    rates, costs, latencies = ({name: list[float]() for name in (PREBAKE, BARE)} for _ in range(3))
    with prebake_server(models, folder, PREBAKE_BATCH_SIZE="1") as ours, bare_server(models, folder) as bare:
        servers = {PREBAKE: ours, BARE: bare}
        for server in servers.values():
            measure(server.port, Load("/generate", BODY, CONNECTIONS, min(2.0, seconds)))
        for number in range(rounds):
            for name in (PREBAKE, BARE) if number % 2 == 0 else (BARE, PREBAKE):
                before = servers[name].read_cpu_seconds()
                answers = check(name, measure(servers[name].port, load))
                costs[name].append((servers[name].read_cpu_seconds() - before) / len(answers))
                rates[name].append(sum(answer.at < seconds for answer in answers) / seconds)
                latencies[name] += [answer.seconds for answer in answers]
    return Throughput(rates, costs, latencies)


def check(name: str, answers: Sequence[Answer]) -> Sequence[Answer]:
    """All are the whole answer. Raises RuntimeError."""
    if {(answer.status, answer.size > 1000) for answer in answers} != {(200, True)}:
        raise RuntimeError(f"{name} does not answer with embeddings: {answers[:3]}")
    return answers
