"""Two models under a memory budget that holds one of them."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.container.baking import answer
from tests.support.container.running import Server, Start
from tests.support.container.two_models import SEVERAL, bake_two

FORM = {"values": "1,2,3,4"}
PATHS = {name: f"/v2/models/{name}/generate" for name in ("left", "right")}
ONE = {**SEVERAL, "PREBAKE_HOST_MEMORY": "40Mi"}
"""Each process of the model takes more than half of it."""


@pytest.fixture
def manifest(tmp_path: Path) -> None:
    """What ``start`` serves."""
    bake_two(tmp_path)


def ask(server: Server, name: str, factor: float) -> bool:
    response = server.client.post(PATHS[name], data={**FORM, "factor": str(factor)})
    assert response.status_code == 200, response.text
    return bool(response.json()["result"] == pytest.approx(answer(factor)))


def test_each_makes_room_for_the_other(start: Start) -> None:
    server = start(**ONE).wait_for("ready")
    assert [each["models"] for each in server.find_events("not loaded at start")] == [["right"]]
    draw = random.Random(1)
    for _ in range(12):
        assert ask(server, draw.choice(list(PATHS)), draw.randint(1, 5))
        assert len(server.find_model_processes()) == 1
    evictions = [server.metric(f'prebake_model_evictions_total{{model="{name}",reason="room"}}') for name in PATHS]
    assert all(evictions)
    states = server.client.post("/v2/repository/index", json={}).json()
    assert {"READY", "UNAVAILABLE"} <= {each["state"] for each in states}


def test_requests_for_both_at_once_are_answered(start: Start) -> None:
    server = start(**ONE).wait_for("ready")
    draw = random.Random(2)
    asked = [(draw.choice(list(PATHS)), draw.randint(1, 5)) for _ in range(12)]
    with ThreadPoolExecutor(3) as clients:  # as many as a model and its queue take
        assert all(clients.map(lambda each: ask(server, *each), asked, timeout=120))
    assert len(server.find_model_processes()) == 1


def test_a_budget_for_both_unloads_nothing(start: Start) -> None:
    server = start(**{**ONE, "PREBAKE_HOST_MEMORY": "1Gi"}).wait_for("ready")
    for name in [*PATHS] * 2:
        assert ask(server, name, 2)
    assert len(server.find_model_processes()) == 2
    assert server.find_events("unloaded") == []


def test_what_is_pinned_must_leave_room_for_the_others(start: Start) -> None:
    server = start(**{**ONE, "PREBAKE_PIN": "left"})
    assert server.wait() == 85
    (fault,) = server.find_events("fault")
    assert "the host memory budget of 41,943,040 bytes cannot hold right beside what is pinned" in fault["reason"]


def test_names_choose_what_a_start_loads(start: Start) -> None:
    server = start(**SEVERAL, PREBAKE_PRELOAD="right").wait_for("ready")
    assert len(server.find_model_processes()) == 1
    assert server.metric('prebake_ready{model="right"}') == 1
    assert server.metric('prebake_ready{model="left"}') == 0
    assert ask(server, "left", 2)
