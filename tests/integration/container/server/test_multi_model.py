"""One server with two models: each answers under its own name, and is waited for, measured and blamed by it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.container.baking import answer
from tests.support.container.running import Server, Start, running, wait_until
from tests.support.container.two_models import SEVERAL, bake_two

FORM = {"values": "1,2,3,4"}
LEFT, RIGHT = "/v2/models/left/generate", "/v2/models/right/generate"


@pytest.fixture
def manifest(tmp_path: Path) -> None:
    """What ``start`` serves."""
    bake_two(tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("two")
    with running(bake_two(folder), folder, SEVERAL) as server:
        yield server.wait_for("ready")


@pytest.mark.parametrize("path", [LEFT, RIGHT])
def test_each_answers_under_its_name(server: Server, path: str) -> None:
    response = server.client.post(path, data={**FORM, "factor": "3"})
    assert response.status_code == 200, response.text
    assert response.json()["result"] == pytest.approx(answer(3))


def test_progress_is_told_by_either(server: Server) -> None:
    for name in ("step-1", "step-2", "step-3", "release"):
        server.leave_note(name)
    response = server.client.post(RIGHT, data={**FORM, "manner": "steps"}, headers={"accept": "text/event-stream"})
    assert "event: progress" in response.text
    assert "event: answer" in response.text


@pytest.mark.parametrize("path", ["/generate", "/invocations"])
def test_a_path_without_a_model_names_those_that_there_are(server: Server, path: str) -> None:
    response = server.client.post(path, data=FORM)
    assert response.status_code == 404
    message = response.json()["error"]["message"]
    assert LEFT in message
    assert RIGHT in message


def test_a_model_of_another_name_is_unknown(server: Server) -> None:
    response = server.client.post("/v2/models/lefft/generate", data=FORM)
    assert response.status_code == 404
    assert "'lefft' is not found (did you mean \"left\"?)" in response.json()["error"]


def test_a_header_names_the_model_for_sagemaker(server: Server) -> None:
    headers = {"X-Amzn-SageMaker-Target-Model": "right"}
    assert server.client.post("/invocations", data=FORM, headers=headers).status_code == 200


def test_a_field_that_is_wrong_is_told_by_the_model_that_was_asked(server: Server) -> None:
    response = server.client.post(LEFT, data={"factor": "3"})
    assert response.status_code == 422
    assert response.json()["fields"].keys() == {"values"}
    assert "values is required" in response.json()["error"]


def test_the_index_has_the_fields_of_each(server: Server) -> None:
    index = server.get("/").json()
    assert index["name"] == "pair"
    assert {f"POST {LEFT}", f"POST {RIGHT}", "GET /v2/models/right/ready"} <= set(index["endpoints"])
    for name in ("left", "right"):
        assert "values" in {field["name"] for field in index["models"][name]["fields"]}


def test_the_start_is_told_model_by_model(server: Server) -> None:
    startup = server.get("/startup").json()
    assert startup["models"].keys() == {"left", "right"}
    for model in startup["models"].values():
        assert {"manifest", "create", "warm-up", "compare"} <= {phase["name"] for phase in model["phases"]}
        assert model["state"] == "ready"
        assert model["extra_files"] == []
    assert startup["ready_seconds"] == max(model["ready_seconds"] for model in startup["models"].values())
    assert "live" in {phase["name"] for phase in startup["phases"]}


def test_each_has_readiness_and_metrics_of_its_own(server: Server) -> None:
    assert server.client.post(LEFT, data=FORM).status_code == 200
    assert server.get("/v2/models/right/ready").json() == {"name": "right", "ready": True}
    assert server.metric('prebake_ready{model="right"}') == 1
    assert server.metric("prebake_ready") == 1
    assert (server.metric('prebake_generate_seconds_count{model="left"}') or 0) >= 1
    assert (server.metric('prebake_start_phase_seconds{model="right",phase="warm-up"}') or 0) > 0
    assert (server.metric(f'prebake_requests_total{{model="left",path="{LEFT}",status="200"}}') or 0) >= 1


def test_a_queue_that_is_full_is_one_models_own(start: Start) -> None:
    server = start(**SEVERAL).wait_for("ready")
    with ThreadPoolExecutor(3) as clients:
        held = [clients.submit(server.client.post, LEFT, data={**FORM, "manner": "hold"}) for _ in range(3)]
        server.wait_for_note("holding")
        wait_until(lambda: server.metric('prebake_requests_in_flight{model="left"}') == 3, "three requests")
        assert server.client.post(LEFT, data=FORM).status_code == 503
        assert server.client.post(RIGHT, data=FORM).status_code == 200
        server.leave_note("release")
        assert [each.result().status_code for each in held] == [200] * 3


def test_a_model_that_does_not_read_holds_up_no_other(start: Start) -> None:
    """Its requests are larger than the buffers of its socket."""
    server = start(**SEVERAL).wait_for("ready")
    _, right = server.find_model_processes()
    os.kill(right, signal.SIGSTOP)
    large = {**FORM, "clip": "A" * 4_000_000}
    with ThreadPoolExecutor(2) as clients:
        held = [clients.submit(server.client.post, RIGHT, json=large) for _ in range(2)]
        wait_until(lambda: server.metric('prebake_requests_in_flight{model="right"}') == 2, "two requests")
        for _ in range(3):
            assert server.client.post(LEFT, data=FORM).json()["result"] == pytest.approx(answer(1))
        assert server.get("/v2/health/live").status_code == 200
        assert not any(each.done() for each in held)
        os.kill(right, signal.SIGCONT)
        assert [each.result().status_code for each in held] == [200, 200]


@pytest.mark.parametrize("path", ["right.linear/model.bin", "right.total/model.onnx", "members/right/manifest.json"])
def test_a_damaged_file_of_one_fails_the_start_and_names_it(start: Start, models: Path, path: str) -> None:
    content = bytearray((models / path).read_bytes())
    content[0 if path.endswith(".json") else len(content) // 2] ^= 1
    (models / path).write_bytes(content)
    server = start(**SEVERAL)
    server.wait_for("failed")
    reason = server.get("/health").json()["reason"]
    assert "right: " in reason
    assert server.get("/v2/health/ready").status_code == 503
    assert server.client.post(RIGHT, data=FORM).status_code == 503
    assert server.wait() == (70 if path.endswith("manifest.json") else 73)


def test_a_model_that_the_image_has_not_is_named(start: Start) -> None:
    server = start(PREBAKE_MODEL_NAMES="left,rigth")
    server.wait_for("failed")
    assert 'models has no rigth (did you mean "right"?)' in server.get("/health").json()["reason"]
    assert server.wait() == 70


def test_a_crash_of_one_leaves_the_others_at_work_and_it_is_restarted(start: Start) -> None:
    server = start(TINY_START="1", **SEVERAL)
    server.leave_note("go")
    server.wait_for("ready")
    (server.notes / "go").unlink()  # the restart lasts until the test lets it go on
    with ThreadPoolExecutor(2) as client:
        held = client.submit(server.client.post, LEFT, data={**FORM, "manner": "hold"})
        server.wait_for_note("holding")
        _, right = server.find_model_processes()
        os.kill(right, signal.SIGSEGV)
        wait_until(lambda: server.metric('prebake_ready{model="right"}') == 0, "the end of the model")
        waiting = client.submit(server.client.post, RIGHT, data=FORM)
        assert server.get("/health").json()["status"] == "ready"
        wait_until(lambda: server.metric('prebake_requests_in_flight{model="right"}') == 1, "the request")
        server.leave_note("go")
        assert waiting.result().json()["result"] == pytest.approx(answer(1))
        server.leave_note("release")
        assert held.result().json()["result"] == pytest.approx(answer(1))
    (ended,) = server.find_events("model ended")
    assert ended["reason"] == "model code failed: right: the model process was ended by SIGSEGV"


def test_a_model_that_ends_again_and_again_is_restarted_with_growing_pauses(start: Start) -> None:
    server = start(**SEVERAL).wait_for("ready")
    for _ in range(3):
        os.kill(server.find_model_processes()[-1], signal.SIGKILL)
        wait_until(lambda: server.metric('prebake_ready{model="right"}') == 0, "its end")
        wait_until(lambda: server.metric('prebake_ready{model="right"}') == 1, "its restart")
        assert server.client.post(LEFT, data=FORM).status_code == 200
    assert [each["restart_in"] for each in server.find_events("model ended")] == [0, 1, 2]


def test_a_model_that_cannot_be_restarted_ends_the_container(start: Start, models: Path) -> None:
    """After five tries, between which the pauses grow."""
    server = start(PREBAKE_FAILURE_EXIT_DELAY="0", **SEVERAL).wait_for("ready")
    for bias in models.rglob("bias.txt"):
        bias.unlink()
    os.kill(server.find_model_processes()[0], signal.SIGKILL)
    assert server.process.wait(60) == 76
    failed = server.find_events("not restarted")
    assert len(failed) == 5
    assert all("bias.txt" in each["reason"] for each in failed)


def test_a_stop_answers_what_both_have_taken_in(start: Start) -> None:
    server = start(**SEVERAL).wait_for("ready")
    with ThreadPoolExecutor(2) as clients:
        held = [clients.submit(server.client.post, path, data={**FORM, "manner": "hold"}) for path in (LEFT, RIGHT)]
        taken_in = [f'prebake_requests_in_flight{{model="{name}"}}' for name in ("left", "right")]
        wait_until(lambda: [server.metric(each) for each in taken_in] == [1, 1], "a request at each")
        server.terminate()
        server.wait_for("draining")
        server.leave_note("release")
        assert [each.result().status_code for each in held] == [200, 200]
    assert server.wait() == 0


def test_no_process_is_left_when_the_server_is_killed(start: Start) -> None:
    server = start(**SEVERAL).wait_for("ready")
    children = server.find_model_processes()
    assert len(children) == 2
    server.process.kill()
    server.wait()
    wait_until(lambda: not any(map(lives, children)), "the end of both models")


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_question_about_readiness_is_held_until_both_are(start: Start) -> None:
    server = start(**SEVERAL)
    wait_until(lambda: server.status() is not None, "an answer")
    reply = server.get("/v2/health/ready", headers={"prefer": "wait=20"})
    assert reply.status_code == 200
    assert {model["status"] for model in server.get("/").json()["models"].values()} == {"ready"}
