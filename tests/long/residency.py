"""``make residency``: models are loaded and unloaded again and again, by an operator and by a memory budget.

First, a container of ``--model`` unloads and loads its model ``--times`` times, and answers after each load. Memory, open files,
threads and processes must be as they were after the first turns. Half of the loads must take at most as long as the model's part
of the container's start did. Then a container of the multi-model image ``--models`` gets a memory budget that holds one of its
models, and answers ``--requests`` requests for its models in random order; each answer has to equal the reference.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from prebake.docker.connection import Connection
from prebake.docker.containers.containers import RunningContainer, running
from prebake.io.log import Log, log_to_stderr
from prebake.measure import client, ports
from prebake.measure.answers import measure_distance
from prebake.measure.start import START_TIMEOUT_SECONDS
from prebake.measure.warmup_request import WarmupRequest, read_warmup, read_warmups
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.long.load import read_metrics
from tests.long.program import add_image_flags, image_of, run_program
from tests.long.resources import ContainerTarget, Resources
from tests.long.section import Outcome, table
from tests.support.commands.built_images import build_image

TOKEN = "of this run alone"
FIRST_TURNS = 10
"""After so many, memory is compared: the first ones fill caches."""
GROWTH = 8 << 20
"""Bytes of anonymous memory."""
BUDGET = "120Mi"
"""minilm's weights take 86 MiB of it, and each process some 30."""


def turn(port: int, name: str) -> None:
    """Unload the model and load it. Raises HTTPException if one of them fails."""
    for action in ("unload", "load"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_TIMEOUT_SECONDS)
        try:
            path = f"/v2/repository/models/{name}/{action}"
            connection.request("POST", path, headers={"Authorization": f"Bearer {TOKEN}"})
            reply = connection.getresponse()
            text = reply.read().decode()
            if reply.status != 200:
                raise http.client.HTTPException(f"{action}: status {reply.status}: {text}")
        finally:
            connection.close()


def describe_wrong(container: ports.RunningContainer, warmup: WarmupRequest) -> str:
    """Why the answer to the warm-up request is wrong; empty if it is right."""
    reply = client.ask(container, warmup.request)
    if reply.status != 200:
        return f"status {reply.status}: {reply.body[:200].decode(errors='replace')}"
    return (
        "" if measure_distance(warmup.answer, reply.body, warmup.media_type) <= warmup.tolerance else "a wrong answer"
    )


def load_again_and_again(target: ContainerTarget, warmup: WarmupRequest, name: str, times: int, log: Log) -> Outcome:
    client.wait_until(target, client.is_ready, START_TIMEOUT_SECONDS, "ready")
    started = read_start_seconds(target.port)
    findings: list[str] = []
    before: Resources | None = None
    for number in range(1, times + FIRST_TURNS + 1):
        turn(target.port, name)
        if problem := describe_wrong(target, warmup):
            findings.append(f"after load {number}: {problem}")
            break
        if number == FIRST_TURNS:
            before = target.sample()
        if number % 100 == 0:
            log(f"{number} loads of {name}")
    after = target.sample()
    loads = read_metrics(target.port)
    mean = loads["prebake_model_load_seconds_sum"] / loads["prebake_model_load_seconds_count"]
    if mean > started:
        findings.append(f"a load takes {mean:.3f} s, the model's part of the start {started:.3f} s")
    findings += list_growth(before or after, after)
    rows = [
        (label, f"{each.anonymous / 2**20:.1f} MiB", each.files, each.threads, each.processes)
        for label, each in ((f"after {FIRST_TURNS} loads", before or after), (f"after {times} more", after))
    ]
    lines = table((name, "anonymous memory", "open files", "threads", "processes"), rows)
    lines.append(
        f"The model's part of the start took {started:.3f} s, a load {mean:.3f} s (mean of {times + FIRST_TURNS})."
    )
    return Outcome([*lines, ""], findings)


def list_growth(before: Resources, after: Resources) -> list[str]:
    found = [
        f"{name}: {getattr(before, name)} before, {getattr(after, name)} after"
        for name in ("files", "threads", "processes")
        if getattr(after, name) > getattr(before, name)
    ]
    if (growth := after.anonymous - before.anonymous) > GROWTH:
        found.append(f"anonymous memory grew by {growth / 2**20:.1f} MiB")
    return found


def read_start_seconds(port: int) -> float:
    """From the end of the server's imports until the model was ready."""
    startup = json.loads(client.get(port, "/startup").body)
    ends = [phase["start"] + phase["seconds"] for phase in startup["phases"] if phase["name"] == "import entrypoints"]
    return float(startup["ready_seconds"] - max(ends))


def ask_in_random_order(
    target: ports.RunningContainer, warmups: Mapping[str, WarmupRequest], requests: int, log: Log
) -> Outcome:
    client.wait_until(target, client.is_ready, START_TIMEOUT_SECONDS, "ready")
    draw, findings, seconds = random.Random(1), list[str](), list[float]()
    for number in range(1, requests + 1):
        name = draw.choice(sorted(warmups))
        begun = time.monotonic()
        if problem := describe_wrong(target, warmups[name]):
            findings.append(f"request {number}, {name}: {problem}")
        seconds.append(time.monotonic() - begun)
        if number % 50 == 0:
            log(f"{number} requests in random order")
    metrics = read_metrics(target.port)
    evictions = sum(value for name, value in metrics.items() if name.startswith("prebake_model_evictions_total"))
    if not evictions:
        findings.append("the budget unloaded no model")
    line = (
        f"{requests} requests in random order for {', '.join(sorted(warmups))} under a budget of {BUDGET}: "
        f"{requests - len(findings)} right answers, {evictions:.0f} models unloaded for room, "
        f"median {statistics.median(seconds):.2f} s"
    )
    return Outcome([line, ""], findings)


def start(engine: Connection, image: str, **environment: str) -> AbstractContextManager[RunningContainer]:
    spec = EngineLauncher(engine).container(image)
    return running(engine, replace(spec, environment={**spec.environment, **environment}))


def measure(options: argparse.Namespace, engine: Connection, folder: Path) -> Outcome:
    outcomes = []
    with image_of(options, engine, folder / "one") as image:
        launcher = EngineLauncher(engine)
        (name,), warmup = read_warmups(launcher, image), read_warmup(launcher, image)
        with start(engine, image, PREBAKE_ADMIN_TOKEN=TOKEN) as container:
            outcomes.append(
                load_again_and_again(ContainerTarget(container), warmup, name, options.times, log_to_stderr)
            )
    if options.requests:
        with build_image(engine, folder / "several", *options.models.split(",")) as built:
            warmups = read_warmups(EngineLauncher(engine), built.tag)
            with start(engine, built.tag, PREBAKE_HOST_MEMORY=BUDGET) as container:
                outcomes.append(
                    ask_in_random_order(ContainerTarget(container), warmups, options.requests, log_to_stderr)
                )
    return Outcome(
        [line for outcome in outcomes for line in outcome.lines],
        [finding for outcome in outcomes for finding in outcome.findings],
    )


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long.residency", description=__doc__)
    add_image_flags(parser)
    parser.add_argument("--times", type=int, default=1000, help="loads of the model (default: 1000)")
    parser.add_argument(
        "--requests", type=int, default=200, help="for the models under a budget; 0: none (default: 200)"
    )
    parser.add_argument(
        "--models",
        default="duo,minilm,zimage",
        help="the multi-model image, then its members (default: duo,minilm,zimage)",
    )
    return run_program("residency", parser, measure, words)


if __name__ == "__main__":
    sys.exit(main())
