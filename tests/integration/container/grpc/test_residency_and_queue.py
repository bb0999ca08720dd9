"""Calls over gRPC while a model loads, is unloaded, is busy, or ends; Triton's client judges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from tests.support.container.baking import answer
from tests.support.container.grpc_client import (
    GRPC,
    INFER,
    ask,
    find_grpc_port,
    form,
    grpc_channel,
    grpc_client,
    infer_message,
    make_grpc_input,
    refusal,
)
from tests.support.container.running import Server, Start, running, wait_until
from tests.support.container.two_models import SEVERAL, bake_two

TOKEN = "a-token-of-the-test"
X = np.array([[1, 2, 3, 4]], np.float32)
HOLD = {"values": b"1,2,3,4", "manner": b"hold"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("two")
    with running(bake_two(folder), folder, {**SEVERAL, **GRPC, "PREBAKE_ADMIN_TOKEN": TOKEN}) as server:
        yield server.wait_for("ready")


def test_only_an_administrator_unloads(speaking: Server, client: Any, pair: Server) -> None:
    status, text = refusal(lambda: client.unload_model("tiny"))
    assert status == "PERMISSION_DENIED"
    assert "PREBAKE_ADMIN_TOKEN" in text
    with grpc_client(find_grpc_port(pair)) as other:
        for headers in ({}, {"authorization": "Bearer wrong"}):
            status, text = refusal(lambda headers=headers: other.unload_model("left", headers=headers))
            assert status == "UNAUTHENTICATED"
            assert TOKEN not in text


def test_a_model_is_unloaded_and_loaded_again(pair: Server) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    port = find_grpc_port(pair)
    with grpc_client(port) as client:
        assert client.infer("left.total", [make_grpc_input("x", X)]).as_numpy("y") == pytest.approx(X.sum())
        client.unload_model("left", headers=headers)
        assert not client.is_model_ready("left")
        assert client.is_model_ready("right")
        status, text = refusal(lambda: client.infer("left", form(values=b"1,2,3,4")))
        assert (status, "Load it by POST" in text) == ("UNAVAILABLE", True)
        states = {each.name: each.state for each in client.get_model_repository_index().models}
        assert (states["left"] == "READY", states["right"]) == (False, "READY")
        client.load_model("left", headers=headers)
        assert json.loads(client.infer("left", form(values=b"1,2,3,4")).as_numpy("body")[0])["result"] == pytest.approx(
            answer(1)
        )


def test_a_full_queue_says_when_to_come_back(start: Start) -> None:
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    server = start(**GRPC).wait_for("ready")
    with grpc_channel(find_grpc_port(server)) as channel:
        message = infer_message("tiny", HOLD)
        held = [channel.unary_unary(INFER).future(message, timeout=30) for _ in range(3)]
        wait_until(lambda: server.metric("prebake_requests_in_flight") == 3, "requests in the queue")
        with pytest.raises(grpc.RpcError) as error:
            ask(channel, INFER, message)
        call: Any = error.value
        assert call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "places in the queue are taken" in call.details()
        assert int(dict(call.trailing_metadata())["retry-after"]) >= 1
        info = error_details_pb2.RetryInfo()
        (detail,) = rpc_status.from_call(call).details
        assert detail.Unpack(info)
        assert info.retry_delay.seconds >= 1
        server.leave_note("release")
        assert all(b"result" in each.result() for each in held)


def test_a_call_that_is_cancelled_cancels_the_inference(start: Start) -> None:
    server = start(**GRPC).wait_for("ready")
    with grpc_channel(find_grpc_port(server)) as channel:
        message = infer_message("tiny", HOLD)
        call = channel.unary_unary(INFER).future(message, timeout=30)
        server.wait_for_note("holding")
        call.cancel()
        server.wait_for_note("cancelled")
        for name in ("holding", "cancelled"):
            (server.notes / name).unlink()
        assert refusal(lambda: ask(channel, INFER, message, timeout=0.5))[0] == "DEADLINE_EXCEEDED"
        server.wait_for_note("cancelled")
        wait_until(lambda: len([each for each in server.find_events("request") if each["status"] == 499]) == 2, "lines")
    assert server.metric("prebake_requests_in_flight") == 0


def test_calls_in_flight_are_answered_before_the_end(start: Start) -> None:
    server = start(**GRPC).wait_for("ready")
    with grpc_channel(find_grpc_port(server)) as channel:
        held = channel.unary_unary(INFER).future(infer_message("tiny", HOLD), timeout=30)
        server.wait_for_note("holding")
        server.terminate()
        server.wait_for_event("draining")
        status, text = refusal(lambda: ask(channel, INFER, infer_message("tiny", {"values": b"1,2,3,4"})))
        assert (status, "draining" in text) == ("UNAVAILABLE", True)
        server.leave_note("release")
        assert b"result" in held.result()
    assert server.wait() == 0


def test_while_the_model_loads_calls_say_so(start: Start) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    server = start(**GRPC, TINY_START="1")
    server.wait_for_note("creating")
    with grpc_channel(find_grpc_port(server)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest(service="live"), timeout=20).status == 1
        watched = stub.Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        status, text = refusal(lambda: ask(channel, INFER, infer_message("tiny", {"values": b"1,2,3,4"})))
        assert status == "UNAVAILABLE"
        assert "loading" in text
        server.leave_note("go")
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
