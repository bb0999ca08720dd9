"""Requests that wait together are answered together, each as if it were alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.container.baking import answer, write_manifest
from tests.support.container.batched.model import SIZE
from tests.support.container.running import Server, Start, wait_until
from tests.support.container.streams import streaming

PLAIN = {"values": "1,2,3,4"}
INFER = "/v2/models/tiny/infer"

Submit = Callable[..., Future[httpx.Response]]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def begin(start: Start, models: Any, manifest: dict[str, Any]) -> Start:
    """A server of the model with batches, which is ready."""
    manifest["model"]["module"] = "tests.support.container.batched.model"
    manifest["limits"]["queue"] = 16
    write_manifest(models, manifest)
    return lambda **environ: start(**environ).wait_for("ready")


def post_together(server: Server, pool: ThreadPoolExecutor, forms: Sequence[dict[str, Any]]) -> list[httpx.Response]:
    """The answers to requests that wait while another one is at work, in the queue's order."""
    held = pool.submit(server.post, json={**PLAIN, "manner": "hold"})
    server.wait_for_note("holding")
    waiting = []
    for number, form in enumerate(forms, 1):
        waiting.append(pool.submit(server.post, json={**PLAIN, **form}))
        wait_for_queue(server, number)
    server.leave_note("release")
    assert held.result().status_code == 200
    return [each.result() for each in waiting]


def wait_for_queue(server: Server, depth: int) -> None:
    wait_until(lambda: server.metric("prebake_queue_depth") == depth, f"{depth} requests in the queue")


def batches(server: Server) -> list[str]:
    path = server.notes / "batches"
    return path.read_text().splitlines() if path.exists() else []


def test_each_answer_is_that_of_the_request_alone(begin: Start, pool: ThreadPoolExecutor) -> None:
    server = begin()
    factors = [float(value) for value in np.random.default_rng(7).uniform(-10, 10, 10)]
    responses = post_together(server, pool, [{"factor": factor} for factor in factors])
    assert [response.json()["result"] for response in responses] == [
        pytest.approx(answer(factor)) for factor in factors
    ]
    assert [len(batch.split()) for batch in batches(server)] == [4, 4, 2]
    assert server.metric("prebake_batch_size_count") == 4
    assert server.metric("prebake_batch_size_sum") == 11
    assert server.metric('prebake_batch_size_bucket{le="2"}') == 2
    assert server.metric("prebake_queue_seconds_count") == 11
    assert all("generate;dur=" in response.headers["server-timing"] for response in responses)


def test_a_request_alone_is_in_no_batch(begin: Start) -> None:
    server = begin()
    for _ in range(3):
        assert server.post(json=PLAIN).json()["result"] == pytest.approx(answer(1))
    assert batches(server) == []
    assert server.metric('prebake_batch_size_bucket{le="1"}') == 3


def test_sizes_fill_a_batch_in_the_queues_order(begin: Start, pool: ThreadPoolExecutor) -> None:
    server = begin()
    responses = post_together(server, pool, [{"repeat": size, "manner": "plain"} for size in (1, 2, 2, 5, 1, 3)])
    assert [response.json()["repeat"] for response in responses] == [1, 2, 2, 5, 1, 3]
    # 1 and 2; 2 alone, as 5 does not fit; 5, larger than a batch, alone; 1 and 3.
    assert [len(batch.split()) for batch in batches(server)] == [2, 2]


@pytest.mark.parametrize(("size", "expected"), [("1", []), ("3", [3, 2]), ("64", [4])])
def test_a_setting_limits_batches(begin: Start, pool: ThreadPoolExecutor, size: str, expected: list[int]) -> None:
    server = begin(PREBAKE_BATCH_SIZE=size)
    assert {response.status_code for response in post_together(server, pool, [{}] * 5)} == {200}
    assert [len(batch.split()) for batch in batches(server)] == expected
    assert (server.metric("prebake_batch_size_count") is None) == (size == "1")


def test_a_wrong_request_fails_alone(begin: Start, pool: ThreadPoolExecutor) -> None:
    server = begin()
    responses = post_together(server, pool, [{}, {"values": "1,2"}, {}, {"manner": "none"}])
    assert [response.status_code for response in responses] == [200, 422, 200, 500]
    assert responses[1].json()["error"]["fields"] == {"values": "values should be 4 numbers"}
    assert responses[2].json()["result"] == pytest.approx(answer(1))
    assert len(batches(server)) == 1
    assert server.find_events("batch failed") == []


def test_a_request_without_a_size_is_refused_before_the_queue(begin: Start, pool: ThreadPoolExecutor) -> None:
    server = begin()
    held = pool.submit(server.post, json={**PLAIN, "manner": "hold"})
    server.wait_for_note("holding")
    refused = server.post(json={**PLAIN, "manner": "header"})
    assert (refused.status_code, refused.json()["error"]["fields"]) == (422, {"manner": "this manner has no size"})
    server.leave_note("release")
    assert held.result().status_code == 200


@pytest.mark.parametrize("manner", ["crash", "talk"])  # it raises, or has too few answers
def test_a_batch_that_fails_is_answered_one_by_one(begin: Start, pool: ThreadPoolExecutor, manner: str) -> None:
    server = begin()
    responses = post_together(server, pool, [{}, {"manner": manner}, {"factor": 3}])
    assert [response.status_code for response in responses] == [200, 500 if manner == "crash" else 200, 200]
    assert responses[2].json()["result"] == pytest.approx(answer(3))
    event = server.wait_for_event("batch failed")
    assert (event["size"], event["action"]) == (3, "each request is tried alone")
    ids = [response.headers["x-request-id"] for response in responses]
    assert event["request_ids"] == ", ".join(ids)
    assert [each["request_id"] for each in server.find_events("generate failed")] == ids[1:2] * (manner == "crash")


def test_a_batch_without_memory_is_tried_in_halves(begin: Start, pool: ThreadPoolExecutor) -> None:
    server = begin()
    responses = post_together(server, pool, [{}, {}, {"manner": "huge"}, {"factor": 3}])
    assert [response.status_code for response in responses] == [200, 200, 413, 200]
    assert responses[3].json()["result"] == pytest.approx(answer(3))
    assert batches(server) == ["plain plain huge plain", "plain plain", "huge plain"]
    assert {event["action"] for event in server.find_events("batch failed")} == {"two smaller batches are tried"}


def test_a_request_that_is_cancelled_in_the_queue_is_in_no_batch(begin: Start, pool: ThreadPoolExecutor) -> None:
    server = begin()
    held = pool.submit(server.post, json={**PLAIN, "manner": "hold"})
    server.wait_for_note("holding")
    first = pool.submit(server.post, json=PLAIN)
    wait_for_queue(server, 1)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"http://127.0.0.1:{server.port}/generate", json=PLAIN, timeout=0.3, trust_env=False)
    wait_until(lambda: server.metric("prebake_requests_in_flight") == 2, "the server to notice")
    last = pool.submit(server.post, json=PLAIN)
    wait_until(lambda: server.metric("prebake_requests_in_flight") == 3, "the last in the queue")
    server.leave_note("release")
    assert [each.result().status_code for each in (held, first, last)] == [200] * 3
    assert batches(server) == ["plain plain"]


def test_a_request_that_is_cancelled_at_work_harms_no_other(begin: Start, pool: ThreadPoolExecutor) -> None:
    server = begin()
    held = pool.submit(server.post, json={**PLAIN, "manner": "hold"})
    server.wait_for_note("holding")
    kept = pool.submit(server.post, json={**PLAIN, "factor": 3})
    wait_for_queue(server, 1)
    with streaming(server, "steps"):
        server.leave_note("release")
        server.wait_for_note("together")
    wait_until(lambda: server.metric("prebake_requests_in_flight") == 1, "the server to notice")
    server.leave_note("go-on")
    assert held.result().status_code == 200
    assert kept.result().json()["result"] == pytest.approx(answer(3))
    assert batches(server) == ["plain steps"]


def test_a_batch_at_work_takes_no_place_in_the_queue(
    begin: Start, pool: ThreadPoolExecutor, models: Any, manifest: dict[str, Any]
) -> None:
    """``limits.queue`` counts what waits besides what is at work, and a batch is more than one request."""
    manifest["limits"]["queue"] = SIZE
    write_manifest(models, manifest)
    server = begin()
    held = pool.submit(server.post, json={**PLAIN, "manner": "hold"})
    server.wait_for_note("holding")
    posts = []
    for number, manner in enumerate(["steps", *["plain"] * (SIZE - 1)], 1):
        posts.append(pool.submit(server.post, json={**PLAIN, "manner": manner}))
        wait_for_queue(server, number)
    server.leave_note("release")
    server.wait_for_note("together")
    posts += [pool.submit(server.post, json=PLAIN) for _ in range(SIZE)]
    wait_for_queue(server, SIZE)
    refused = server.post(json=PLAIN)
    assert (refused.status_code, "places in the queue" in refused.text) == (503, True)
    server.leave_note("go-on")
    assert {each.result().status_code for each in [held, *posts]} == {200}


def test_an_event_stream_shows_place_and_answer(begin: Start, pool: ThreadPoolExecutor) -> None:
    server = begin()
    held = pool.submit(server.post, json={**PLAIN, "manner": "hold"})
    server.wait_for_note("holding")
    other = pool.submit(server.post, json=PLAIN)
    wait_for_queue(server, 1)
    with streaming(server, "steps") as stream:
        first = stream.read_news()
        assert first is not None
        assert first.data == {"place": 2}
        server.leave_note("release")
        assert any(event.data == {"place": 0} for event in iter(stream.read_news, None))
        server.leave_note("go-on")
        (last,) = stream.read_all()
    assert last.data["json"]["result"] == pytest.approx(answer(1))
    assert [each.result().status_code for each in (held, other)] == [200, 200]
    assert batches(server) == ["plain steps"]


def test_requests_of_the_protocol_share_batches(begin: Start, pool: ThreadPoolExecutor) -> None:
    server = begin()
    held = pool.submit(server.post, json={**PLAIN, "manner": "hold"})
    server.wait_for_note("holding")
    inputs = [{"name": "values", "shape": [1], "datatype": "BYTES", "data": ["1,2,3,4"]}]
    waiting = [pool.submit(server.client.post, INFER, json={"inputs": inputs}) for _ in range(2)]
    waiting.append(pool.submit(server.post, json=PLAIN))
    wait_for_queue(server, 3)
    server.leave_note("release")
    first, second, third = (each.result() for each in waiting)
    assert held.result().status_code == 200
    for response in (first, second):
        outputs = {each["name"]: each["data"] for each in response.json()["outputs"]}
        assert json.loads(outputs["body"][0])["result"] == pytest.approx(answer(1))
    assert third.json()["result"] == pytest.approx(answer(1))
    assert batches(server) == ["plain plain plain"]
    (statistics,) = server.get("/v2/models/tiny/stats").json()["model_stats"]
    assert statistics["inference_count"] == 4  # the warm-up is none of them
    assert statistics["inference_stats"]["compute_infer"]["ns"] > 0


def test_lists_of_graphs_stay_in_their_place(begin: Start, pool: ThreadPoolExecutor) -> None:
    """A request for a graph is in no batch, and those before and after it keep their order."""
    server = begin()
    held = pool.submit(server.post, json={**PLAIN, "manner": "hold"})
    server.wait_for_note("holding")
    rows = [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]
    calls = [
        ("/generate", PLAIN),
        ("/v2/models/linear/infer", {"inputs": rows}),
        ("/generate", PLAIN),
        ("/generate", PLAIN),
    ]
    waiting = []
    for number, (path, body) in enumerate(calls, 1):
        waiting.append(pool.submit(server.client.post, path, json=body))
        wait_for_queue(server, number)
    server.leave_note("release")
    assert held.result().status_code == 200
    assert [each.result().status_code for each in waiting] == [200] * 4
    assert batches(server) == ["plain plain"]


def test_several_workers_share_one_queue(begin: Start, pool: ThreadPoolExecutor) -> None:
    server = begin(PREBAKE_WORKERS="2")
    posts = [pool.submit(server.post, json={**PLAIN, "factor": factor / 2}) for factor in range(16)]
    for factor, post in enumerate(posts):
        assert post.result().json()["result"] == pytest.approx(answer(factor / 2))
    assert server.metric("prebake_batch_size_sum") == 16
    assert all(len(batch.split()) <= SIZE for batch in batches(server))


def test_a_model_whose_batch_cannot_be_used_does_not_start(begin: Start, start: Start) -> None:
    server = start(BATCHED_WRONGLY="1").wait_for("failed")
    assert "a size of at least 1" in server.get("/health").json()["reason"]
