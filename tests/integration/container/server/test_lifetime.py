"""From the first moment to the last: liveness during the start, waiting, the queue, hang-ups, draining."""

from __future__ import annotations

import concurrent.futures
import http.client
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.container.baking import write_manifest
from tests.support.container.running import Server, Start, wait_until

PLAIN = {"values": "1,2,3,4"}
HOLD = {**PLAIN, "manner": "hold"}


@pytest.fixture
def pool() -> Any:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        yield pool


def starting(start: Start) -> Server:
    server = start(TINY_START="1").wait_for("starting")
    server.wait_for_note("creating")
    return server


def test_a_start_that_lasts_is_alive_and_not_ready(start: Start) -> None:
    server = starting(start)
    assert server.get("/v2/health/live").status_code == 200
    assert server.get("/v2/health/ready").status_code == 503
    startup = server.get("/startup").json()
    assert startup["state"] == "starting"
    assert next(phase for phase in startup["phases"] if phase["name"] == "create")["seconds"] is None
    refusal = server.post(json=PLAIN)
    assert (refusal.status_code, refusal.headers["retry-after"]) == (503, "1")
    assert "starting" in refusal.json()["error"]["message"]
    server.leave_note("go")
    server.wait_for("ready")
    assert server.get("/v2/health/ready").status_code == 200


def test_a_request_may_prefer_to_wait_for_readiness(start: Start, pool: Any) -> None:
    server = starting(start)
    brief = server.post(json=PLAIN, headers={"prefer": "wait=1"})
    assert (brief.status_code, brief.headers["retry-after"]) == (503, "1")
    patient = pool.submit(server.post, json=PLAIN, headers={"prefer": "respond-async, wait=20"})
    wait_until(lambda: server.metric("prebake_requests_in_flight") == 1, "the request to be taken in")
    server.leave_note("go")
    assert patient.result().status_code == 200
    assert patient.result().headers["preference-applied"] == "wait=20"


def test_a_question_about_readiness_may_wait_for_it(start: Start, pool: Any) -> None:
    server = starting(start)
    assert server.get("/v2/health/ready", headers={"prefer": "wait=1"}).status_code == 503
    patient = pool.submit(server.get, "/v2/health/ready", headers={"prefer": "wait=20"})
    with pytest.raises(TimeoutError):
        patient.result(timeout=0.3)
    server.leave_note("go")
    assert patient.result().json() == {"ready": True}


def test_waiting_for_readiness_ends_when_the_server_stops(start: Start, pool: Any) -> None:
    server = starting(start)
    patient = pool.submit(server.get, "/v2/health/ready", headers={"prefer": "wait=20"})
    with pytest.raises(TimeoutError):
        patient.result(timeout=0.3)
    server.terminate()
    assert patient.result().status_code == 503
    assert server.wait() == 0


def test_waiting_ends_when_the_server_stops(start: Start, pool: Any) -> None:
    server = starting(start)
    patient = pool.submit(server.post, json=PLAIN, headers={"prefer": "wait=20"})
    wait_until(lambda: server.metric("prebake_requests_in_flight") == 1, "the request to be taken in")
    server.terminate()
    assert patient.result().status_code == 503
    assert server.wait() == 0


def test_a_full_queue_refuses_with_a_time_to_come_back(start: Start, pool: Any) -> None:
    server = start().wait_for("ready")
    held = [pool.submit(server.post, json=HOLD) for _ in range(3)]  # one at work, two in the queue
    wait_until(lambda: server.metric("prebake_requests_in_flight") == 3, "three requests")
    wait_until(lambda: server.metric("prebake_queue_depth") == 2, "two of them waiting")
    refusal = server.post(json=PLAIN)
    assert refusal.status_code == 503
    assert int(refusal.headers["retry-after"]) >= 1
    assert "2 places" in refusal.json()["error"]["message"]
    server.leave_note("release")
    assert [request.result().status_code for request in held] == [200, 200, 200]
    assert server.post(json=PLAIN).status_code == 200


def test_more_workers_work_at_once(start: Start, pool: Any) -> None:
    server = start(PREBAKE_WORKERS="2").wait_for("ready")
    held = pool.submit(server.post, json=HOLD)
    server.wait_for_note("holding")
    assert server.post(json=PLAIN).status_code == 200
    server.leave_note("release")
    assert held.result().status_code == 200


def test_a_hang_up_cancels_the_work(start: Start) -> None:
    server = start().wait_for("ready")
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request(
        "POST", "/generate", '{"values": "1,2,3,4", "manner": "hold"}', {"Content-Type": "application/json"}
    )
    server.wait_for_note("holding")
    connection.close()
    server.wait_for_note("cancelled")
    wait_until(lambda: server.metric('prebake_requests_total{path="/generate",status="499"}') == 1, "the count")
    assert server.post(json=PLAIN).status_code == 200


def test_a_hang_up_in_the_middle_of_the_body_is_survived(start: Start) -> None:
    server = start().wait_for("ready")
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.putrequest("POST", "/generate")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b'{"values"')
    wait_until(lambda: server.metric("prebake_requests_in_flight") == 1, "the request to be taken in")
    connection.close()
    wait_until(lambda: server.metric("prebake_requests_in_flight") == 0, "the request to be given up")
    assert server.post(json=PLAIN).status_code == 200


def test_a_request_has_only_so_many_seconds(models: Path, manifest: dict[str, Any], start: Start) -> None:
    manifest["limits"]["seconds"] = 2.5
    write_manifest(models, manifest)
    server = start().wait_for("ready")
    response = server.post(json=HOLD)
    assert response.status_code == 504
    assert "2.5 s" in response.json()["error"]["message"]
    server.wait_for_note("cancelled")
    assert server.post(json=PLAIN).status_code == 200


def test_a_termination_lets_the_request_finish(start: Start, pool: Any) -> None:
    server = start().wait_for("ready")
    held = pool.submit(server.post, json=HOLD)
    server.wait_for_note("holding")
    server.terminate()
    server.wait_for("draining")
    assert server.get("/health").status_code == 503
    assert server.get("/v2/health/live").status_code == 200
    assert server.get("/v2/health/ready").status_code == 503
    assert server.post(json=PLAIN).status_code == 503
    server.leave_note("release")
    assert held.result().status_code == 200
    assert server.wait() == 0


def test_the_grace_period_ends(start: Start, pool: Any) -> None:
    server = start(PREBAKE_GRACE_PERIOD="0.2").wait_for("ready")
    held = pool.submit(server.post, json=HOLD)
    server.wait_for_note("holding")
    server.terminate()
    assert held.result().status_code == 503
    assert "stopping" in held.result().json()["error"]["message"]
    assert server.wait() == 0
    assert (server.events[-1]["event"], server.events[-1]["cut_off"]) == ("stopped", 1)


def test_a_second_termination_ends_at_once(start: Start, pool: Any) -> None:
    server = start().wait_for("ready")
    held = pool.submit(server.post, json=HOLD)
    server.wait_for_note("holding")
    server.terminate()
    server.wait_for("draining")
    server.terminate()
    assert server.wait() == 128 + signal.SIGTERM
    assert isinstance(held.exception(), Exception)


def test_a_termination_before_anything_is_loaded(start: Start) -> None:
    server = starting(start)
    server.terminate()
    assert server.wait() == 0


def test_threads_are_what_was_asked_for(start: Start) -> None:
    def count(threads: str) -> int:
        server = start(PREBAKE_THREADS=threads).wait_for("ready")
        assert server.get("/startup").json()["threads"] == int(threads)
        model = server.find_model_process()
        wait_until(lambda: "verify-0" not in list_threads(model), "the hashing to end")
        return len(list_threads(model))

    assert count("4") - count("1") == 3 * 2, "three more for each of the two components"


def test_a_crash_of_the_model_s_process_is_named_and_ends_the_server(start: Start) -> None:
    server = start(PREBAKE_FAILURE_EXIT_DELAY="5").wait_for("ready")
    os.kill(server.find_model_process(), signal.SIGSEGV)
    wait_until(lambda: server.get("/health").json()["status"] == "failed", "the crash to be noticed")
    assert "SIGSEGV" in server.get("/health").json()["reason"]
    assert server.get("/v2/health/live").status_code == 503
    assert server.process.wait(20) == 76


def test_no_process_is_left_when_the_server_is_killed(start: Start) -> None:
    server = start().wait_for("ready")
    model = server.find_model_process()
    server.process.kill()
    wait_until(lambda: not Path(f"/proc/{model}/exe").exists(), "the model's process to end")


def list_threads(pid: int) -> list[str]:
    return [(task / "comm").read_text().strip() for task in Path(f"/proc/{pid}/task").iterdir()]


def test_the_runtime_keeps_to_itself(start: Start, tmp_path: Path) -> None:
    """ONNX Runtime's telemetry would leave a device's name and a database here; on CI machines it is off by itself."""
    home = tmp_path / "home"
    home.mkdir()
    start(HOME=str(home), CI="", ORT_RUNNING_UNIT_TESTS="").wait_for("ready")
    assert not list(home.rglob("*"))


def test_a_large_form_is_never_written_to_disk(start: Start) -> None:
    """The container's file system is read-only; the tiny model listens to what its process opens for writing."""
    nowhere = dict.fromkeys(("TMPDIR", "TEMP", "TMP", "HOME"), "/nonexistent")
    server = start(**nowhere).wait_for("ready")
    response = server.post(data=PLAIN, files={"clip": ("clip", bytes(7_900_000))})
    assert (response.json()["clip"], response.headers["x-writes"]) == (7_900_000, "")
    assert server.post(data={**PLAIN, "manner": "write"}).headers["x-writes"].startswith("/tmp")
