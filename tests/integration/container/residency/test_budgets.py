"""Two models under a memory budget that holds one of them."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.container.baking import answer
from tests.support.container.running import Server, Start, wait_until
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


def test_a_model_that_is_always_asked_does_not_keep_the_other_out(start: Start) -> None:
    """Its next request comes before the one at work is answered, so that it never has nothing to do."""
    server = start(**ONE, PREBAKE_PRELOAD="left").wait_for("ready")
    with ThreadPoolExecutor(3) as clients:
        held = clients.submit(hold, server)
        server.wait_for_note("holding")
        other = clients.submit(ask, server, "right", 2)
        wait_until(
            lambda: server.get("/").json()["models"]["left"]["status"] == "unloading", "the wait for the one at work"
        )
        later = clients.submit(ask, server, "left", 3)
        wait_until(lambda: server.metric('prebake_requests_in_flight{model="left"}') == 2, "the later request")
        assert not other.done()
        server.leave_note("release")
        assert held.result() == 200
        assert other.result()
        assert later.result()
    assert server.metric('prebake_model_load_seconds_count{model="left"}') == 1


def test_requests_that_waited_for_a_load_are_begun_before_the_next_one_wants_the_room(start: Start) -> None:
    """Each client asks both models in turn, so that a load of one is always wanted while the other is loaded."""
    server = start(**ONE).wait_for("ready")

    def take_turns(first: int) -> list[bool]:
        return [ask(server, list(PATHS)[(first + number) % 2], 2) for number in range(4)]

    with ThreadPoolExecutor(2) as clients:
        assert list(clients.map(take_turns, (0, 1), timeout=120)) == [[True] * 4] * 2


def hold(server: Server) -> int:
    return server.client.post(PATHS["left"], data={**FORM, "manner": "hold"}).status_code


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
    assert server.get("/startup").json()["not_loaded_at_start"] == ["left"]
    assert len(server.find_model_processes()) == 1
    assert server.metric('prebake_ready{model="right"}') == 1
    assert server.metric('prebake_ready{model="left"}') == 0
    assert ask(server, "left", 2)
