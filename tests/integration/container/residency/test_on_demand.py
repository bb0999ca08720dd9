"""Models that are loaded by the first request, and unloaded when nobody asks them."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.container.baking import answer, write_manifest
from tests.support.container.raw import connected, post
from tests.support.container.running import Server, Start, wait_until

FORM = {"values": "1,2,3,4"}
TOKEN = "secret"
ADMIN = {"authorization": f"Bearer {TOKEN}"}
REPOSITORY = "/v2/repository/models/tiny"


def ask(server: Server, **fields: str) -> Any:
    response = server.post(data={**FORM, **fields})
    assert response.status_code == 200, response.text
    return response.json()["result"]


def test_a_lazy_container_is_ready_without_a_model_process(start: Start) -> None:
    server = start(PREBAKE_PRELOAD="lazy").wait_for("ready")
    assert server.find_model_processes() == []
    assert server.get("/v2/health/ready").status_code == 200
    assert server.get("/v2/models/tiny/ready").status_code == 200  # it accepts requests
    assert server.get("/").json()["status"] == "unloaded"
    assert server.metric("prebake_ready") == 0
    assert server.get("/startup").json()["not_loaded_at_start"] == ["tiny"]
    assert ask(server, factor="3") == pytest.approx(answer(3))
    assert len(server.find_model_processes()) == 1
    index = server.get("/").json()
    assert index["status"] == "ready"
    assert "values" in {field["name"] for field in index["fields"]}
    names = {phase["name"] for phase in server.get("/startup").json()["phases"]}
    assert {"bind", "warm-up"} & names == {"warm-up"}  # of the start that loaded it
    assert ask(server) == pytest.approx(answer(1))
    assert server.metric("prebake_model_load_seconds_count") == 1
    assert (server.metric("prebake_residency_requests_total"), server.metric("prebake_residency_hits_total")) == (2, 1)
    server.terminate()
    assert server.wait() == 0


def test_the_open_inference_protocol_loads_a_model_too(start: Start) -> None:
    server = start(PREBAKE_PRELOAD="lazy").wait_for("ready")
    assert server.get("/openapi.json").status_code == 503
    assert server.get("/v2/models/tiny").json()["inputs"] == []
    inputs = [{"name": "values", "datatype": "BYTES", "shape": [1], "data": ["1,2,3,4"]}]
    answered = server.client.post("/v2/models/tiny/infer", json={"inputs": inputs})
    assert answered.status_code == 200, answered.text
    assert "values" in {each["name"] for each in server.get("/v2/models/tiny").json()["inputs"]}
    assert server.get("/openapi.json").status_code == 200


def test_a_graph_of_a_model_that_is_not_loaded(start: Start) -> None:
    server = start(PREBAKE_PRELOAD="lazy").wait_for("ready")
    inputs = [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]
    answered = server.client.post("/v2/models/total/infer", json={"inputs": inputs})
    assert answered.status_code == 200, answered.text
    assert answered.json()["outputs"][0]["data"] == [10]


def test_a_stream_of_events_begins_with_the_load(start: Start) -> None:
    server = start(PREBAKE_PRELOAD="lazy").wait_for("ready")
    streamed = server.post(data=FORM, headers={"accept": "text/event-stream"})
    assert streamed.text.count("event: answer") == 1


def test_a_server_that_stops_answers_what_waits_for_a_load(start: Start) -> None:
    server = start(PREBAKE_PRELOAD="lazy", TINY_START="1").wait_for("ready")
    with ThreadPoolExecutor(1) as client:
        waiting = client.submit(ask, server)
        server.wait_for_note("creating")
        server.terminate()
        server.wait_for("draining")
        server.leave_note("go")
        assert waiting.result() == pytest.approx(answer(1))
    assert server.wait() == 0


def test_requests_share_one_load(start: Start) -> None:
    server = start(PREBAKE_PRELOAD="lazy", PREBAKE_WORKERS="2").wait_for("ready")
    with ThreadPoolExecutor(4) as clients:
        factors = [str(number) for number in range(1, 5)]
        results = list(clients.map(lambda factor: ask(server, factor=factor), factors))
    assert [result == pytest.approx(answer(float(factor))) for result, factor in zip(results, factors, strict=True)]
    assert server.metric("prebake_model_load_seconds_count") == 1


def test_an_idle_model_is_unloaded_and_comes_back(start: Start) -> None:
    server = start(PREBAKE_IDLE_SECONDS="0.3").wait_for("ready")
    for _ in range(2):
        assert ask(server) == pytest.approx(answer(1))
        wait_until(lambda: server.find_model_processes() == [], "the end of the model's process")
    # On a slow machine it may also have been unloaded before the first request.
    loads = server.metric("prebake_model_load_seconds_count") or 0
    wait_until(lambda: server.metric('prebake_model_evictions_total{reason="idle"}') == 1 + loads, "its count")
    assert loads >= 1
    assert {each["reason"] for each in server.find_events("unloaded")} == {"idle"}


def test_a_model_at_work_is_not_idle(start: Start) -> None:
    server = start(PREBAKE_IDLE_SECONDS="0.1").wait_for("ready")
    with ThreadPoolExecutor(1) as client:
        held = client.submit(ask, server, manner="hold")
        server.wait_for_note("holding")
        with pytest.raises(AssertionError, match="in vain"):
            wait_until(lambda: server.find_model_processes() == [], "an end that must not come", 1.0)
        server.leave_note("release")
        assert held.result() == pytest.approx(answer(1))


def test_an_operator_who_unloads_a_model_is_obeyed(start: Start) -> None:
    """No request loads it again, until the operator does."""
    server = start(PREBAKE_PRELOAD="lazy", PREBAKE_ADMIN_TOKEN=TOKEN).wait_for("ready")
    assert server.client.post(f"{REPOSITORY}/unload", headers=ADMIN).status_code == 200
    refused = server.post(data=FORM)
    assert (refused.status_code, server.get("/v2/models/tiny/ready").status_code) == (503, 503)
    assert "is unloaded. Load it by POST" in refused.json()["error"]["message"]
    assert server.client.post(f"{REPOSITORY}/load", headers=ADMIN).status_code == 200
    assert ask(server) == pytest.approx(answer(1))


def test_a_load_that_fails_is_told_and_the_next_request_tries_again(start: Start, models: Path) -> None:
    server = start(PREBAKE_PRELOAD="lazy").wait_for("ready")
    bias = models / "linear/bias.txt"
    content = bias.read_bytes()
    bias.unlink()
    failed = server.post(data=FORM)
    assert failed.status_code == 500
    assert "bias.txt" in failed.json()["error"]["message"]
    assert server.status() == "ready"
    bias.write_bytes(content)
    assert ask(server) == pytest.approx(answer(1))


def test_a_client_that_leaves_during_a_load_takes_nothing_along(start: Start) -> None:
    server = start(PREBAKE_PRELOAD="lazy", TINY_START="1").wait_for("ready")
    with connected(server) as client:
        client.send(post(b'{"values": "1,2,3,4"}'))
        server.wait_for_note("creating")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, no half-close
    wait_until(lambda: server.metric("prebake_requests_in_flight") == 0, "the end of the request")
    server.leave_note("go")
    assert ask(server) == pytest.approx(answer(1))
    assert server.metric("prebake_model_load_seconds_count") == 1


def test_a_load_that_lasts_longer_than_the_request_may(start: Start, models: Path, manifest: dict[str, Any]) -> None:
    manifest["limits"] = {**manifest.get("limits", {}), "seconds": 1}
    write_manifest(models, manifest)
    server = start(PREBAKE_PRELOAD="lazy", TINY_START="1").wait_for("ready")
    late = server.post(data=FORM)
    assert late.status_code == 504
    assert "was still being loaded" in late.json()["error"]["message"]
    server.leave_note("go")
    wait_until(lambda: server.metric("prebake_ready") == 1, "the end of the load")
    assert ask(server) == pytest.approx(answer(1))


def test_loads_and_unloads_leave_descriptors_as_they_were(start: Start) -> None:
    """A small sample of ``make residency``, which counts memory, too."""
    server = start(PREBAKE_ADMIN_TOKEN=TOKEN).wait_for("ready")

    def turn() -> None:
        for action in ("unload", "load"):
            assert server.client.post(f"{REPOSITORY}/{action}", headers=ADMIN).status_code == 200
        assert ask(server) == pytest.approx(answer(1))

    turn()
    before = count_files(server)
    for _ in range(5):
        turn()
    assert count_files(server) == before


def count_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def test_names_that_the_image_lacks_end_the_start(start: Start) -> None:
    server = start(PREBAKE_PRELOAD="tinny", PREBAKE_PIN="lineal,total")
    assert server.wait() == 78
    (fault,) = server.find_events("fault")
    assert "PREBAKE_PRELOAD: there is no 'tinny'" in json.dumps(fault)
    assert "PREBAKE_PIN: there is no 'lineal'" in json.dumps(fault)
    assert "linear, total" in json.dumps(fault)
