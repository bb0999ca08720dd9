"""Event streams that end otherwise than by their answer, or whose reader is slow, silent or gone."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.container.baking import write_manifest
from tests.support.container.running import Start, wait_until
from tests.support.container.streams import ACCEPT, PLAIN, Event, error_of, streaming


def test_comments_keep_a_silent_line_open(start: Start) -> None:
    server = start(PREBAKE_HEARTBEAT="0.02").wait_for("ready")
    with streaming(server, "hold") as stream:
        assert [stream.read() for _ in range(3)] == [Event("", "at work")] * 3
        with streaming(server, "plain") as queued:
            assert queued.read_news() == Event("queue", {"place": 1})
            assert queued.read() == Event("", "waiting")
        server.leave_note("release")
        assert [event.name for event in stream.read_all()] == ["answer"]
    silent = start(PREBAKE_HEARTBEAT="0").wait_for("ready")
    silent.leave_note("release")
    assert silent.post(json={**PLAIN, "manner": "hold"}, headers=ACCEPT).text.startswith("event: answer\n")


def test_a_hang_up_cancels_the_work(start: Start) -> None:
    server = start().wait_for("ready")
    with streaming(server, "steps") as stream:
        server.leave_note("step-1")
        assert stream.read() == Event("progress", {"step": 1, "steps": 3})
    server.wait_for_note("cancelled")
    wait_until(lambda: server.metric('prebake_requests_total{path="/generate",status="499"}') == 1, "the count")
    assert server.metric("prebake_requests_in_flight") == 0
    assert server.post(json=PLAIN).status_code == 200


def test_who_reads_slowly_delays_nobody_and_misses_some(start: Start) -> None:
    server = start().wait_for("ready")
    with streaming(server, "talk", receive_buffer=4096) as stream:
        server.wait_for_note("talked")  # 100 MB were reported, and next to nothing was read
        assert server.post(json=PLAIN).status_code == 200
        *progress, end = stream.read_all()
    steps = [event.data["step"] for event in progress]
    assert steps == sorted(set(steps))
    assert steps[-1] == progress[-1].data["steps"], "the last report is always told"
    assert len(steps) < steps[-1]
    assert end.name == "answer"


def test_a_request_has_only_so_many_seconds(models: Path, manifest: dict[str, Any], start: Start) -> None:
    manifest["limits"]["seconds"] = 2.5
    write_manifest(models, manifest)
    server = start().wait_for("ready")
    with streaming(server, "hold") as stream:
        status, message = error_of(stream)
    assert status == 504
    assert "2.5 s" in message
    server.wait_for_note("cancelled")
    assert server.metric('prebake_requests_total{path="/generate",status="504"}') == 1


def test_a_reader_that_never_reads_keeps_no_place(models: Path, manifest: dict[str, Any], start: Start) -> None:
    manifest["limits"]["seconds"] = 5
    write_manifest(models, manifest)
    server = start().wait_for("ready")
    with streaming(server, "talk", receive_buffer=4096):
        wait_until(lambda: server.metric("prebake_requests_in_flight") == 0, "its place to be free again")
        assert server.post(json=PLAIN).status_code == 200


def test_the_metrics_count_a_stream_as_the_request_that_it_is(start: Start) -> None:
    server = start().wait_for("ready")
    for manner in ("plain", "crash"):
        assert server.post(json={**PLAIN, "manner": manner}, headers=ACCEPT).status_code == 200
    assert server.metric("prebake_generate_seconds_count") == 1
    assert server.metric('prebake_requests_total{path="/generate",status="200"}') == 1
    assert server.metric('prebake_requests_total{path="/generate",status="500"}') == 1
    assert server.metric("prebake_requests_in_flight") == 0


def test_a_termination_lets_the_stream_finish(start: Start) -> None:
    server = start().wait_for("ready")
    with streaming(server, "hold") as stream:
        server.wait_for_note("holding")
        server.terminate()
        server.wait_for("draining")
        server.leave_note("release")
        assert [event.name for event in stream.read_all()] == ["answer"]
    assert server.wait() == 0


@pytest.mark.parametrize("manner", ["hold", "deaf"])
def test_the_end_of_the_grace_period_ends_the_stream_with_an_error(start: Start, manner: str) -> None:
    """Also where the model does not hear that it should stop."""
    server = start(PREBAKE_GRACE_PERIOD="0.2").wait_for("ready")
    with streaming(server, manner) as stream:
        server.wait_for_note("holding")
        server.terminate()
        status, message = error_of(stream)
    assert status == 503
    assert "stopping" in message
    assert server.wait() == 0


def test_the_end_of_the_models_process_is_an_error_event(start: Start) -> None:
    server = start().wait_for("ready")
    with streaming(server, "hold") as stream:
        server.wait_for_note("holding")
        os.kill(server.find_model_process(), signal.SIGKILL)
        status, message = error_of(stream)
    assert status == 500
    assert "ended" in message
