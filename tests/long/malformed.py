"""``make malformed``: malformed and hostile requests to one container.

Clients in several threads send requests from a seed, each on a connection of its own; one in four is derived by schemathesis
from the container's ``/openapi.json``. Meanwhile other connections send one byte at a time, and a process of its own probes
liveness. No request may get a status that means a fault of the server, each line of the log has to be JSON, liveness has to
answer within ``--liveness`` seconds, and at the end a good request has to get the right answer.

``--only NUMBER`` sends the request of that number alone, and prints it.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from prebake.docker.connection import Connection
from prebake.docker.containers.containers import running
from prebake.errors import PrebakeError
from prebake.io.log import Log, log_to_stderr
from prebake.measure import client
from prebake.measure.start import START_TIMEOUT_SECONDS
from prebake.measure.warmup_request import WarmupRequest, read_warmup
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.long.load import describe_answer, describe_status, read_metrics
from tests.long.program import add_image_flags, image_of, run_program
from tests.long.resources import ContainerTarget, Target
from tests.long.section import Outcome, table
from tests.support.hostile import described
from tests.support.hostile.catalogue import Catalogue
from tests.support.hostile.judges import judge_counts, judge_log
from tests.support.hostile.liveness import Probes, probing
from tests.support.hostile.sender import Reply, send
from tests.support.hostile.slow_senders import sending_slowly

NAMED_PROBLEMS = 12
MEMORY_BYTES = 1 << 30
"""The container's limit: minilm's own in images/minilm/image.yaml."""


@dataclass(frozen=True)
class Plan:
    """``liveness``: the seconds in which each probe has to be answered. ``derived``: requests of schemathesis to derive."""

    requests: int
    seed: int = 1
    clients: int = 8
    slow_connections: int = 200
    derived: int = 2500
    liveness: float = 1.0
    only: int | None = None


@dataclass
class Tally:
    """By kind of request: the statuses (0: none came), and the problems with the number of a request that had it."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    problems: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, number: int, reply: Reply) -> None:
        with self._lock:
            self.statuses.setdefault(kind, Counter())[reply.status] += 1
            if reply.problem:
                self.problems[kind, reply.problem] += 1
                self.examples.setdefault((kind, reply.problem), number)

    def describe_problems(self) -> list[str]:
        found = [
            f"{kind}: {problem}, {count} times (first in request {self.examples[kind, problem]})"
            for (kind, problem), count in self.problems.most_common(NAMED_PROBLEMS)
        ]
        others = len(self.problems) - len(found)
        return [*found, *([f"{others} other kinds of problems"] if others else [])]


def attack(target: Target, logs: Callable[[], str], warmup: WarmupRequest, plan: Plan, log: Log) -> Outcome:
    """Send the requests to a container and judge it. ``logs`` returns all that it has printed."""
    tally = Tally()
    try:
        client.wait_until(target, client.is_ready, START_TIMEOUT_SECONDS, "ready")
        known = described.read_target(target.port)
        derived = described.derive(target.port, plan.seed, plan.derived)
        log(f"ready; schemathesis derived {len(derived)} requests")
        catalogue = Catalogue(plan.seed, known, derived)
        began = time.monotonic()
        with (
            probing(target.port) as probes,
            sending_slowly(target.port, known, plan.slow_connections, plan.seed) as slow,
        ):
            send_all(target.port, catalogue, plan, tally, log)
        seconds = time.monotonic() - began
        findings = [
            *tally.describe_problems(),
            *judge_probes(probes, plan.liveness),
            *judge_end(target, warmup),
            *judge_counts(read_metrics(target.port)),
        ]
        code = target.stop()
        findings += [f"exit code {code} after SIGTERM"] if code else []
        lines = logs().splitlines()
    except PrebakeError as error:
        return Outcome(describe(tally), [error.message.replace("\n", " "), *tally.describe_problems()])
    findings += [f"{text} ({count} times)" for text, count in judge_log(lines).most_common(NAMED_PROBLEMS)]
    summary = (
        f"{plan.requests:,} requests of seed {plan.seed} by {plan.clients} clients in {seconds:.0f} s, and {slow.opened:,} "
        f"connections of one byte each {plan.slow_connections} at a time, of which the server ended {slow.ended:,}. "
        f"{probes.count:,} probes of liveness; the slowest took {probes.slowest * 1e3:.0f} ms. {len(lines):,} lines of the log."
    )
    return Outcome([*describe(tally), summary], findings)


def send_all(port: int, catalogue: Catalogue, plan: Plan, tally: Tally, log: Log) -> None:
    numbers = iter(range(plan.requests) if plan.only is None else [plan.only])
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            request = catalogue.request(number)
            if plan.only is not None:
                log(f"request {number} ({request.kind}): {request.content[:4000]!r}")
            reply = send(port, request)
            tally.add(request.kind, number, reply)
            if number % 1000 == 999:
                log(f"{number + 1:,} requests, {tally.problems.total()} problems")

    with ThreadPoolExecutor(plan.clients) as pool:
        for done in [pool.submit(work) for _ in range(plan.clients)]:
            done.result()


def judge_probes(probes: Probes, limit: float) -> list[str]:
    found = [f"liveness: {problem}, {count} times" for problem, count in Counter(probes.failures).items()]
    if probes.slowest > limit:
        found.append(
            f"the slowest of {probes.count} answers to a probe of liveness took {probes.slowest:.2f} s, {probes.late} more "
            f"than 1 s; {limit:g} s are allowed"
        )
    return [*found, *(["liveness was never probed"] if not probes.count else [])]


def judge_end(target: Target, warmup: WarmupRequest) -> list[str]:
    """The container still runs, and answers a good request as ever."""
    reply = client.ask(target, warmup.request)
    problem = describe_status(200, reply.status) or describe_answer(warmup, reply.body)
    return [f"a good request at the end: {problem}"] if problem else []


def describe(tally: Tally) -> list[str]:
    rows = []
    for kind, statuses in sorted(tally.statuses.items()):
        problems = sum(count for (name, _), count in tally.problems.items() if name == kind)
        shown = ", ".join(f"{status or 'none'} ({count:,})" for status, count in sorted(statuses.items()))
        rows.append((kind, f"{statuses.total():,}", shown, problems))
    return table(("kind", "requests", "statuses", "problems"), rows)


def measure(options: argparse.Namespace, engine: Connection, folder: Path) -> Outcome:
    plan = Plan(
        options.requests,
        options.seed,
        liveness=options.liveness,
        only=options.only,
        derived=min(2500, options.requests),
    )
    with image_of(options, engine, folder) as image:
        launcher = EngineLauncher(engine, environment={"PREBAKE_ACCESS_LOG": "all"})
        warmup = read_warmup(launcher, image)
        with running(engine, replace(launcher.container(image), memory=MEMORY_BYTES)) as container:
            return attack(ContainerTarget(container), container.logs, warmup, plan, log_to_stderr)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long.malformed", description=__doc__)
    add_image_flags(parser)
    parser.add_argument("--requests", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same requests (default: 1)")
    parser.add_argument(
        "--liveness", type=float, default=1.0, metavar="SECONDS", help="the slowest answer to a probe (default: 1)"
    )
    parser.add_argument("--only", type=int, metavar="NUMBER", help="send and print the request of this number alone")
    return run_program("malformed", parser, measure, words)


if __name__ == "__main__":
    sys.exit(main())
