"""A container with few processes: it serves, or it ends in seconds and says which limit it has."""

from __future__ import annotations

import json
import re

import pytest

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import RunningContainer, running
from prebake.measure import client
from tests.support.collection.sampled import sampled
from tests.support.commands.projects import Built

QUICK = {"PREBAKE_FAILURE_EXIT_DELAY": "0.2", "PREBAKE_THREADS": "4"}


def settle(container: RunningContainer) -> int | None:
    """The exit code; None if the model is served."""

    def look() -> str | None:
        if container.ended() is not None:
            return "ended"
        return "ready" if '"event": "ready"' in container.logs() else None

    try:
        container.wait_until(look, 60, "readiness or an end")
    except Exception:
        if container.ended() is None:
            raise
    end = container.ended()
    return end.exit_code if end else None


@pytest.mark.parametrize("maximum", sampled(range(2, 41), 5, 9, 40))
def test_a_container_of_few_processes(engine: Connection, toy: Built, maximum: int) -> None:
    """runc itself needs one while it starts the program, so that the smallest limit is 2."""
    spec = ContainerSpec(toy.tag, ports=[8000], environment=QUICK, tmpfs={}, processes=maximum)
    with running(engine, spec) as container:
        code = settle(container)
        log = container.logs()
    events = [json.loads(line) for line in log.splitlines()]
    if maximum <= 5:
        assert code == 83, log
    if maximum == 40:
        assert code is None, log
    assert code in (None, 83), log
    if code == 83:
        fault = next(event for event in events if event["event"] == "fault")
        assert re.search(rf"\d+ of {maximum} processes and threads run", fault["reason"])


def test_a_container_listens_where_its_log_says(engine: Connection, toy: Built) -> None:
    """The image sets no port and no address: a platform's PORT counts."""
    spec = ContainerSpec(toy.tag, ports=[8000, 9001], environment={"PORT": "9001"}, tmpfs={})
    with running(engine, spec) as container:
        port = container.address(9001)[1]
        container.wait_until(lambda: '"event": "ready"' in container.logs() or None, 60, "readiness")
        assert client.is_ready(port)
        events = [json.loads(line) for line in container.logs().splitlines()]
    addresses = {event["address"] for event in events if event["event"] in ("live", "ready")}
    assert addresses <= {"http://[::]:9001", "http://0.0.0.0:9001"}
    assert len(addresses) == 1
