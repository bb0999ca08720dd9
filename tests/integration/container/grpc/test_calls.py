"""The Open Inference Protocol over gRPC of real servers, judged by Triton's client and by gRPC's own client of health checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

import prebake
from tests.support.container.baking import answer
from tests.support.container.grpc_client import (
    GRPC,
    INFER,
    ask,
    find_grpc_port,
    grpc_channel,
    grpc_client,
    make_grpc_input,
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


@pytest.fixture
def client(speaking: Server) -> Iterator[Any]:
    with grpc_client(find_grpc_port(speaking)) as client:
        yield client


@pytest.fixture
def channel(speaking: Server) -> Iterator[Any]:
    with grpc_channel(find_grpc_port(speaking)) as channel:
        yield channel


def form(**values: bytes) -> list[Any]:
    return [make_grpc_input(name, np.array([value], object)) for name, value in values.items()]


def infer_message(model: str, values: dict[str, bytes]) -> bytes:
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=model)
    for name, value in values.items():
        request.inputs.add(name=name, datatype="BYTES", shape=[1]).contents.bytes_contents.append(value)
    content: bytes = request.SerializeToString()
    return content


def refusal(call: Any) -> tuple[str, str]:
    """The status and the text of a call that has to fail."""
    from tritonclient.utils import InferenceServerException

    with pytest.raises((InferenceServerException, grpc.RpcError)) as error:
        call()
    value: Any = error.value
    if isinstance(value, grpc.RpcError):
        return value.code().name, value.details()
    return str(value.status()).removeprefix("StatusCode."), str(value.message())


def test_it_describes_itself_as_over_rest(speaking: Server, client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert not client.is_model_ready("nobody")
    metadata = client.get_server_metadata(as_json=True)
    assert (metadata["name"], metadata["version"]) == ("prebake", prebake.__version__)
    for path, described in (
        ("/v2/models/tiny", client.get_model_metadata("tiny", as_json=True)),
        ("/v2/models/linear", client.get_model_metadata("linear", as_json=True)),
    ):
        document = speaking.get(path).json()
        for tensor in (*document["inputs"], *document["outputs"]):
            tensor["shape"] = [str(axis) for axis in tensor["shape"]]  # JSON's form of an int64
        assert described == document
    config = client.get_model_config("tiny", as_json=True)["config"]
    document = speaking.get("/v2/models/tiny/config").json()
    assert [each["name"] for each in config["input"]] == [each["name"] for each in document["input"]]
    assert [each["data_type"] for each in config["input"]] == [each["data_type"] for each in document["input"]]
    assert config["instance_group"] == document["instance_group"]
    index = client.get_model_repository_index(as_json=True)["models"]
    assert [each["name"] for each in index] == ["tiny", "tiny.linear", "tiny.total"]


def test_its_form_and_its_graphs_answer(client: Any) -> None:
    inputs = [*form(values=b"1,2,3,4", clip=bytes(range(256))), make_grpc_input("factor", np.array([3.0]))]
    result = client.infer("tiny", inputs, request_id="a")
    document = json.loads(result.as_numpy("body")[0])
    assert document["result"] == pytest.approx(answer(3))
    assert document["clip"] == 256
    assert result.as_numpy("media_type")[0] == b"application/json"
    assert result.get_response().id == "a"
    total = client.infer("total", [make_grpc_input("x", X)]).as_numpy("y")
    assert total == pytest.approx(X.sum(axis=1, keepdims=True))
    (counted,) = client.get_inference_statistics("total", as_json=True)["model_stats"]
    assert int(counted["inference_stats"]["success"]["count"]) >= 1
    assert int(counted["inference_stats"]["compute_infer"]["ns"]) > 0


def test_only_the_outputs_that_are_asked_for_come(client: Any) -> None:
    from tritonclient.grpc import InferRequestedOutput

    result = client.infer("tiny", form(values=b"1,2,3,4"), outputs=[InferRequestedOutput("media_type")])
    assert result.as_numpy("media_type")[0] == b"application/json"
    assert result.as_numpy("body") is None


def test_typed_contents_are_read(channel: Any) -> None:
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name="total")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend([1, 2, 3, 4])
    content, _ = ask(channel, INFER, request.SerializeToString())
    response = service_pb2.ModelInferResponse.FromString(content)
    assert np.frombuffer(response.raw_output_contents[0], np.float32) == pytest.approx([10])
    assert list(response.outputs[0].shape) == [1, 1]
    content, _ = ask(channel, INFER, infer_message("tiny", {"values": b"1,2,3,4"}))
    assert b"result" in service_pb2.ModelInferResponse.FromString(content).raw_output_contents[0]


def test_a_tensor_of_some_megabytes_comes_back(client: Any) -> None:
    rows = np.arange(400_000, dtype=np.float32).reshape(-1, 4)
    assert client.infer("total", [make_grpc_input("x", rows)]).as_numpy("y") == pytest.approx(
        rows.sum(1, keepdims=True)
    )


@pytest.mark.parametrize(
    ("model", "inputs", "status", "text"),
    [
        ("nobody", {"values": b"1"}, "NOT_FOUND", "unknown model: 'nobody'"),
        ("total", {"values": b"1"}, "INVALID_ARGUMENT", "the input x is missing"),
        ("tiny", {"values": b"1,2"}, "INVALID_ARGUMENT", "values should be 4 numbers"),
        ("tiny", {"values": b"1" * 101}, "INVALID_ARGUMENT", "100"),
        ("tiny", {"values": b"\xff"}, "INVALID_ARGUMENT", "UTF-8"),
        ("tiny", {"values": b"1,2,3,4", "manner": b"refuse"}, "FAILED_PRECONDITION", "not today"),
        ("tiny", {"values": b"1,2,3,4", "manner": b"crash"}, "INTERNAL", "the server's log has the error"),
    ],
)
def test_errors_have_a_status_and_the_text_of_rest(
    client: Any, model: str, inputs: dict[str, bytes], status: str, text: str
) -> None:
    found = refusal(lambda: client.infer(model, form(**inputs)))
    assert found[0] == status
    assert text in found[1]


def test_what_is_no_message_is_refused(channel: Any) -> None:
    for message in (b"\xff" * 20, b"\x0a\x05ab", b"\x2a\x00" * 10_000, b"\x0a\x02\xff\xff"):
        status, text = refusal(lambda message=message: ask(channel, INFER, message))
        assert status == "INVALID_ARGUMENT"
        assert "cannot be read" in text
    assert refusal(lambda: ask(channel, "/inference.GRPCInferenceService/ModelDream"))[0] == "UNIMPLEMENTED"
    assert (
        refusal(lambda: ask(channel, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"))[0] == "UNIMPLEMENTED"
    )
    status, text = refusal(lambda: ask(channel, INFER, bytes(10_200_000)))
    assert status == "RESOURCE_EXHAUSTED"
    assert "larger than" in text
    compressed = refusal(lambda: ask(channel, INFER, bytes(10_000), compression=grpc.Compression.Gzip))
    assert compressed[0] == "UNIMPLEMENTED"


def test_calls_are_logged_and_counted_as_requests(speaking: Server, channel: Any) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    metadata = (("x-request-id", "of-the-test"), ("traceparent", f"00-{trace}-00f067aa0ba902b7-01"))
    _, call = ask(channel, INFER, infer_message("tiny", {"values": b"1,2,3,4"}), metadata=metadata)
    assert dict(call.trailing_metadata())["x-request-id"] == "of-the-test"
    refusal(lambda: ask(channel, INFER, infer_message("nobody", {}), metadata=(("x-request-id", "refused"),)))
    wait_until(lambda: any(each.get("request_id") == "refused" for each in speaking.events), "the line")
    logged = {each.get("request_id"): each for each in speaking.find_events("request")}
    line = logged["of-the-test"]
    assert (line["path"], line["status"], line["grpc_status"], line["model"]) == (INFER, 200, "OK", "tiny")
    assert (line["trace_id"], line["client"]) == (trace, "127.0.0.1")
    assert line["bytes_in"] > 0
    assert (logged["refused"]["status"], logged["refused"]["grpc_status"]) == (404, "NOT_FOUND")
    assert not [each for each in logged.values() if each["path"].endswith("ServerLive")], "probes that succeed"
    assert (speaking.metric(f'prebake_requests_total{{path="{INFER}",status="200"}}') or 0) >= 1


def test_health_checks_are_those_of_grpc(speaking: Server, channel: Any) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "inference.GRPCInferenceService", "live", "tiny"):
        state = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20).status
        assert state == health_pb2.HealthCheckResponse.SERVING
    assert refusal(lambda: stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=20))[0] == "NOT_FOUND"
    watched = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"), timeout=20)
    assert next(watched).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watched.cancel()


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
