"""Containers with a memory limit: what the kernel ends, and what is refused before that, each with its own code and figures."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import RunningContainer, running
from prebake.measure import client
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Built, clone, reach

MIB = 1 << 20
DELAY = {"PREBAKE_FAILURE_EXIT_DELAY": "2"}
LIMIT = 128 * MIB
TOO_LOW = 64 * MIB
"""Less than minilm's weights without its table of embeddings, and the runtimes."""
GREEDY = """

answer = Toy.generate


def allocate(self, form, cancelled):
    first = int(float(str(form["values"]).split()[0]))  # a number of MiB, if it is a large one
    if first == 1_000_000:
        np.empty(first << 30, np.uint8)
    if first > 100:
        self.taken = [np.ones(1 << 20, np.uint8) for _ in range(first)]
    return answer(self, form, cancelled)


Toy.generate = allocate
"""
VALUES = "1 2 3 4 5 6 7 8"


@pytest.fixture(scope="module")
def greedy(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The toy, whose requests take as many MiB as their first value says."""
    project = clone(tmp_path_factory.mktemp("greedy") / "project", "toy", variables=reach(engine))
    model = project.root / "images" / "toy" / "model.py"
    model.write_text(model.read_text() + GREEDY)
    with image_name(engine) as tag:
        project.run("--model", "toy", "--tag", tag, PREBAKE_STARTS="0").expect(0)
        yield tag


@contextmanager
def limited(engine: Connection, image: str, memory: int, **variables: str) -> Iterator[RunningContainer]:
    spec = ContainerSpec(image, ports=[8000], environment={**DELAY, **variables}, tmpfs={}, memory=memory)
    with running(engine, spec) as container:
        yield container


def ask(container: RunningContainer, values: str) -> client.Response:
    return client.post(container.address(8000)[1], client.Request({"values": values}), timeout=60)


def wait_until_ready(container: RunningContainer) -> None:
    def is_ready() -> bool | None:
        try:
            return client.get(container.address(8000)[1], "/v2/health/ready").status == 200 or None
        except (OSError, http.client.HTTPException):
            return None

    container.wait_until(is_ready, 60, "readiness")


def list_events(container: RunningContainer, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in container.logs().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def test_a_request_that_the_kernel_ends(engine: Connection, greedy: str) -> None:
    with limited(engine, greedy, LIMIT) as container:
        wait_until_ready(container)
        assert ask(container, VALUES).status == 200
        assert ask(container, "400 2 3 4 5 6 7 8").status == 500
        assert container.wait(60).exit_code == 84
        (fault,) = list_events(container, "fault")
    reason = fault["reason"]
    assert reason.startswith("out of memory: the kernel ended the model process at a request with a body of ")
    assert f"the memory of the container was used up (limit {LIMIT:,} bytes" in reason
    assert fault["details"]["limit"] == LIMIT
    assert fault["exit_code"] == 84
    assert "more memory" in fault["action"]


def test_a_request_whose_allocation_is_refused(engine: Connection, greedy: str) -> None:
    """The service goes on."""
    with limited(engine, greedy, LIMIT) as container:
        wait_until_ready(container)
        assert ask(container, "1000000 2 3 4 5 6 7 8").status == 413
        assert ask(container, VALUES).status == 200
        (event,) = list_events(container, "out of memory")
    assert event["limit"] == LIMIT
    assert 0 < event["current"] <= LIMIT


def test_a_start_that_the_kernel_ends(engine: Connection, greedy: str) -> None:
    """While the model process imports its runtime, and is larger than the server process."""
    memory = 32 * MIB
    with limited(engine, greedy, memory) as container:
        assert container.wait(60).exit_code == 84
        (fault,) = list_events(container, "fault")
    assert f"during the start: the memory of the container was used up (limit {memory:,} bytes" in fault["reason"]


def test_a_limit_that_cannot_hold_the_weights(engine: Connection, minilm: Built) -> None:
    with limited(engine, minilm.tag, TOO_LOW) as container:
        assert container.wait(60).exit_code == 85
        (fault,) = list_events(container, "fault")
    weights, runtimes = fault["details"]["weights"]["minilm"], fault["details"]["runtimes"]
    assert weights + runtimes > TOO_LOW
    for figure in (weights, runtimes, weights + runtimes, TOO_LOW):
        assert f"{figure:,}" in fault["reason"]
    assert "memory limit" in fault["action"]


def test_the_operator_may_start_it_nevertheless(engine: Connection, minilm: Built) -> None:
    with limited(engine, minilm.tag, TOO_LOW, PREBAKE_MEMORY_CHECK="warn") as container:
        notice = container.wait_until(lambda: list_events(container, "notice") or None, 60, "notice")[0]
    assert "the model needs at least" in notice["text"]


def test_a_limit_that_holds_the_weights_is_enough(engine: Connection, minilm: Built) -> None:
    with limited(engine, minilm.tag, 2 * LIMIT) as container:
        wait_until_ready(container)
        assert not list_events(container, "notice")
        assert not list_events(container, "fault")


def test_a_quota_of_the_processor_decides_the_threads(engine: Connection, greedy: str) -> None:
    """By whichever version of control groups this machine has."""
    spec = ContainerSpec(greedy, ports=[8000], tmpfs={}, processors=0.5)
    with running(engine, spec) as container:
        wait_until_ready(container)
        assert json.loads(client.get(container.address(8000)[1], "/startup").body)["threads"] == 1
