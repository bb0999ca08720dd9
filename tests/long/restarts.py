"""``make restarts``: a container that is stopped and killed again and again starts every time.

A container is started, and asked once. Then it is ended in three ways in turn, started again after each, and asked again: by
SIGTERM; by SIGKILL in the middle of a start; by SIGKILL in the middle of a request. After the three it is removed, and the next
container begins. Each start has to become ready and to give the reference's answer. Nothing may be left of it: no container, no
process, no file.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

from docker.models.containers import Container

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import RunningContainer, running
from prebake.docker.containers.owners import owner_label
from prebake.errors import PrebakeError
from prebake.io.log import Log, log_to_stderr
from prebake.measure import client
from prebake.measure.warmup_request import WarmupRequest, read_warmup
from prebake.workflow.start_check.launcher import EngineLauncher, StartedServer
from tests.long.left_behind import find_left_behind
from tests.long.load import ask, read_metrics
from tests.long.program import add_image_flags, image_of, run_program
from tests.long.restart_record import FRESH, IN_A_REQUEST, IN_A_START, SIGTERM, WAYS, Record, Restart, summarize
from tests.long.section import Outcome

READY_SECONDS = 60.0
KILLED, STOPPED = 137, 0


class Subject:
    """One container, which is started again and again."""

    def __init__(self, container: Container, requested: float, warmup: WarmupRequest, record: Record) -> None:
        self._container = container
        self._warmup = warmup
        self._record = record
        self._running = RunningContainer(container, requested)

    def start(self) -> None:
        requested = time.perf_counter()
        self._container.start()
        self._running = RunningContainer(self._container, requested)

    def verify(self, after: str) -> bool:
        """Wait until it is ready, ask it once, and write down the start. Returns whether it was as it has to be."""
        ready, problem = None, ""
        try:
            server = StartedServer(self._running)
            ready = client.wait_until(server, client.is_ready, READY_SECONDS, "ready")
            problem = ask(self._warmup, server.port, 0)
        except PrebakeError as error:
            problem = error.message.replace("\n", " ")
        except (OSError, http.client.HTTPException) as error:
            problem = f"no answer ({type(error).__name__})"
        self._record.restarts.append(Restart(len(self._record.restarts) + 1, after, ready, problem))
        return not problem

    def expect_end(self, way: str, code: int) -> None:
        found = self._running.wait(30).exit_code
        if found != code:
            self._record.findings.append(f"{way}: exit code {found} instead of {code}")

    def stop(self) -> None:
        self._container.kill("SIGTERM")
        self.expect_end("SIGTERM", STOPPED)

    def kill_in_a_start(self, chance: random.Random) -> None:
        """At a random moment of the first four fifths of the shortest start so far."""
        self.stop()
        began = self._count_ready()
        self.start()
        moment = self._running.requested + chance.uniform(0, 0.8 * min(self._record.ready))
        time.sleep(max(0.0, moment - time.perf_counter()))
        self._container.kill("SIGKILL")
        self.expect_end(IN_A_START, KILLED)
        self._record.hits[IN_A_START] += self._count_ready() == began

    def kill_in_a_request(self, chance: random.Random) -> None:
        """One client has sent half of its request, and the server counts it as in flight; another asks without a pause."""
        port, over, problems = StartedServer(self._running).port, threading.Event(), list[str]()
        asker = threading.Thread(target=self._ask_until, args=[port, over, problems], daemon=True)
        with half_a_request(port, self._warmup) as half:
            asker.start()
            self._record.hits[IN_A_REQUEST] += wait_until_in_flight(port)
            time.sleep(chance.uniform(0, 0.05))
            self._container.kill("SIGKILL")
            over.set()
            if was_answered(half):
                problems.append("half a request was answered")
        asker.join(READY_SECONDS)
        self.expect_end(IN_A_REQUEST, KILLED)
        self._record.findings += [f"{IN_A_REQUEST}: {problem}" for problem in problems]

    def find_files(self) -> None:
        """Write down files that the container's file system has besides its image's."""
        if changes := self._container.diff():
            paths = ", ".join(str(change["Path"]) for change in changes[:5])
            self._record.findings.append(f"a container has files that its image does not have: {paths}")

    def _ask_until(self, port: int, over: threading.Event, problems: list[str]) -> None:
        """An answer that arrives whole has to be right; one that the kill cuts off is none."""
        while not over.is_set():
            try:
                if problem := ask(self._warmup, port, 0):
                    problems.append(problem)
            except (OSError, http.client.HTTPException, ValueError):
                return

    def _count_ready(self) -> int:
        return self._running.logs().count('"event": "ready"')


ENDS: Mapping[str, Callable[[Subject, random.Random], None]] = {
    SIGTERM: lambda subject, _: subject.stop(),
    IN_A_START: Subject.kill_in_a_start,
    IN_A_REQUEST: Subject.kill_in_a_request,
}


def restart(engine: Connection, spec: ContainerSpec, warmup: WarmupRequest, times: int, log: Log) -> Record:
    """At least ``times`` starts that are verified; the last container is taken to its end."""
    record, chance, said = Record(), random.Random(0), time.monotonic()
    with closing(engine.client()) as api:
        while len(record.restarts) < times:
            with running(engine, spec) as first:
                record.containers.append(first.id)
                subject = Subject(api.containers.get(first.id), first.requested, warmup, record)
                take_through_all_ways(subject, record, chance)
            if time.monotonic() - said >= 60:
                said = time.monotonic()
                log(f"{len(record.restarts)} of {times} starts, median {median(record.ready or [0]):.2f} s until ready")
    return record


def take_through_all_ways(subject: Subject, record: Record, chance: random.Random) -> None:
    """A container that does not start as it has to is given up."""
    good = subject.verify(FRESH)
    for way in WAYS:
        if not good:
            return
        record.kills[way] += 1
        ENDS[way](subject, chance)
        subject.start()
        good = subject.verify(way)
    subject.find_files()


@contextmanager
def half_a_request(port: int, warmup: WarmupRequest) -> Iterator[socket.socket]:
    body, kind = warmup.request.encode()
    head = (
        f"POST {warmup.request.path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), READY_SECONDS) as connection:
        connection.sendall(head.encode() + body[: len(body) // 2])
        yield connection


def wait_until_in_flight(port: int, patience: float = 5.0) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        samples = read_metrics(port)
        if sum(value for name, value in samples.items() if name.startswith("prebake_requests_in_flight")):
            return True
        time.sleep(0.01)
    return False


def was_answered(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1))
    except OSError:
        return False


def measure(options: argparse.Namespace, engine: Connection, folder: Path) -> Outcome:
    with image_of(options, engine, folder) as image:
        launcher = EngineLauncher(engine)
        warmup = read_warmup(launcher, image)
        record = restart(engine, launcher.container(image), warmup, options.times, log_to_stderr)
        return summarize(record, find_left_behind(engine, owner_label(os.getpid()), record.containers))


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long.restarts", description=__doc__)
    add_image_flags(parser)
    parser.add_argument("--times", type=int, default=1000, help="starts that are verified, at least (default: 1000)")
    return run_program("restarts", parser, measure, words)


if __name__ == "__main__":
    sys.exit(main())
