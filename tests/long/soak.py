"""``make soak``: one container under steady mixed load of good and hostile requests.

A container is loaded for a while to warm up, and is then left alone until it is at rest. After that it is loaded for the time
that ``--minutes`` gives, and is left alone again. At rest it may hold no more open files and threads than before the load, and
only ``--growth`` MiB more anonymous memory. Under load the same holds for a line through the samples of its second half
(``tests.long.growth``). Each answer has to equal the reference, and each status has to be the expected one.
Afterwards the same request goes to this container and to a fresh one in turn: a loaded container answers as soon as a new one.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from prebake.docker.connection import Connection
from prebake.docker.containers.containers import running
from prebake.errors import PrebakeError
from prebake.io.log import Log, log_to_stderr
from prebake.measure import client, ports
from prebake.measure.bench.limits import Bound, compare
from prebake.measure.bench.steady_state import time_steady
from prebake.measure.start import START_TIMEOUT_SECONDS, time_later_request
from prebake.measure.warmup_request import WarmupRequest, read_warmup
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.long.load import Kind, Tally, kinds_of_load, load, read_metrics
from tests.long.program import add_image_flags, image_of, run_program
from tests.long.resources import ContainerTarget, Target
from tests.long.section import Outcome
from tests.long.soak_report import (
    MIB,
    Plan,
    Rest,
    Sample,
    Soaked,
    describe,
    describe_problems,
    describe_ratio,
    describe_requests,
    fit_line,
)
from tests.support.hostile import described
from tests.support.hostile.catalogue import Catalogue
from tests.support.hostile.judges import judge_counts
from tests.support.hostile.slow_senders import sending_slowly

WARMUP_REQUESTS = 14
"""The warm-up lasts until each kind of client has sent so many requests: each request of each kind, twice."""
REST_SECONDS = 15.0
"""How long a container may take until it is at rest."""
SLOW_CONNECTIONS = 20
"""Connections that send one byte at a time while the other clients work."""
DERIVED_REQUESTS = 400
"""Hostile requests that schemathesis derives."""


Fresh = Callable[[], AbstractContextManager[ports.RunningContainer]]


def soak(target: Target, fresh: Fresh, warmup: WarmupRequest, plan: Plan, log: Log) -> Outcome:
    """Load the target and judge it. ``fresh`` starts another container of the same image."""
    tally = Tally()
    try:
        client.wait_until(target, client.is_ready, START_TIMEOUT_SECONDS, "ready")
        catalogue = read_catalogue(target.port)
        kinds = kinds_of_load(warmup, catalogue)
        log(f"ready; warming up for {plan.warmup_seconds:.0f} s")
        with sending_slowly(target.port, catalogue.target, SLOW_CONNECTIONS, catalogue.seed):
            list(watch(target, kinds, tally, plan.warmup_seconds, log, least=WARMUP_REQUESTS))
        before, began = rest(target), time.monotonic()
        with sending_slowly(target.port, catalogue.target, SLOW_CONNECTIONS, catalogue.seed):
            samples = list(watch(target, kinds, tally, plan.seconds, log))
        after = rest(target)
        errors = judge_counts(read_metrics(target.port))
        bound = None if tally.problems else compare_with_fresh(target, fresh, warmup, plan)
        soaked = Soaked(plan, began, tally, before, samples, after, errors, bound, target.stop())
    except PrebakeError as error:
        return Outcome(describe_requests(tally), [error.message.replace("\n", " "), *describe_problems(tally)])
    except (OSError, http.client.HTTPException) as error:
        problem = f"the server does not answer after the load ({type(error).__name__})"
        return Outcome(describe_requests(tally), [problem, *describe_problems(tally)])
    return Outcome(describe(soaked), judge(soaked))


def read_catalogue(port: int) -> Catalogue:
    """The hostile requests of this container, always of the same seed."""
    return Catalogue(1, described.read_target(port), described.derive(port, 1, DERIVED_REQUESTS))


def watch(
    target: Target, kinds: Sequence[Kind], tally: Tally, seconds: float, log: Log, *, least: int = 0
) -> Iterator[Sample]:
    """Load for ``seconds``, and until each kind of client has sent ``least`` requests. Sample the container's resources about
    every five seconds. Raises StartFailed if the container ends."""
    end, interval, said = time.monotonic() + seconds, max(0.1, min(5.0, seconds / 10)), time.monotonic()
    with load(target.port, kinds, tally):
        while time.monotonic() < end or min(tally.requests[kind.name] for kind in kinds) < least:
            time.sleep(interval)
            sample = Sample(time.monotonic(), target.sample())
            yield sample
            if sample.at - said >= 60:
                said = sample.at
                log(
                    f"{max(0, end - sample.at) / 60:.1f} minutes left: {tally.requests.total()} requests, "
                    f"{sample.resources.anonymous / MIB:.1f} MiB of anonymous memory, {tally.problems.total()} problems"
                )


def rest(target: Target) -> Rest:
    """Wait until nothing is in flight and two samples have the same files and threads, for ``REST_SECONDS`` at most."""
    deadline, last = time.monotonic() + REST_SECONDS, target.sample()
    while True:
        time.sleep(0.5)
        in_flight = sum(
            value
            for name, value in read_metrics(target.port).items()
            if name.startswith(("prebake_requests_in_flight", "prebake_queue_depth"))
        )
        now = target.sample()
        settled = not in_flight and (now.files, now.threads) == (last.files, last.threads)
        if settled or time.monotonic() > deadline:
            return Rest(now, in_flight)
        last = now


def compare_with_fresh(target: Target, fresh: Fresh, warmup: WarmupRequest, plan: Plan) -> Bound:
    with fresh() as other:
        client.wait_until(other, client.is_ready, START_TIMEOUT_SECONDS, "ready")
        for _ in range(plan.compared_requests):  # the first answers of a container take longer
            time_later_request(other, warmup)
        timings = time_steady(target, other, warmup, requests=plan.compared_requests)
    return compare("later answer", plan.min_ratio, timings.naive, timings.ours, "a fresh container")


def judge(soaked: Soaked) -> list[str]:
    """Why the run failed; empty if it passed."""
    found = describe_problems(soaked.tally)
    before, after, bound = soaked.before.resources, soaked.after.resources, soaked.bound
    if not soaked.tally.latencies:
        found.append("no valid request was answered")
    if (growth := after.anonymous - before.anonymous) > soaked.plan.growth:
        found.append(
            f"anonymous memory at rest grew by {growth / MIB:.1f} MiB; {soaked.plan.growth / MIB:g} MiB are allowed"
        )
    for name in ("files", "threads", "processes"):
        first, last = getattr(before, name), getattr(after, name)
        if last > first:
            found.append(f"{name} at rest: {first} before the load, {last} after it")
    found += judge_lines(soaked)
    if soaked.after.in_flight:
        found.append(f"the server still counts {soaked.after.in_flight:g} requests as in flight at rest")
    found += soaked.server_errors
    if bound and bound.state == "missed":
        found.append(f"slower than a fresh container: {describe_ratio(bound)}")
    if soaked.exit_code:
        found.append(f"exit code {soaked.exit_code} after SIGTERM")
    return found


def judge_lines(soaked: Soaked) -> list[str]:
    allowed = {"anonymous": soaked.plan.growth, "files": soaked.plan.count_growth, "threads": soaked.plan.count_growth}
    grown = {name: fit_line(soaked, name) for name in allowed}
    return [
        f"{name} under load: the line through the second half rises by {growth:,.0f}; {allowed[name]:,} are allowed"
        for name, growth in grown.items()
        if growth > allowed[name]
    ]


def measure(options: argparse.Namespace, engine: Connection, folder: Path) -> Outcome:
    seconds = options.minutes * 60
    plan = Plan(seconds, warmup_seconds=min(120.0, seconds / 5), growth=int(options.growth * MIB))
    with image_of(options, engine, folder) as image:
        launcher = EngineLauncher(engine)
        warmup = read_warmup(launcher, image)
        with running(engine, launcher.container(image)) as container:
            return soak(ContainerTarget(container), lambda: launcher.start(image), warmup, plan, log_to_stderr)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long.soak", description=__doc__)
    add_image_flags(parser)
    parser.add_argument("--minutes", type=float, default=30.0, help="of load, after the warm-up (default: 30)")
    parser.add_argument(
        "--growth", type=float, default=8.0, metavar="MIB", help="of anonymous memory at rest (default: 8)"
    )
    return run_program("soak", parser, measure, words)


if __name__ == "__main__":
    sys.exit(main())
