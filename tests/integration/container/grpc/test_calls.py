"""The Open Inference Protocol over gRPC of real servers, judged by Triton's client and by gRPC's own client of health checks."""

from __future__ import annotations

import json
from typing import Any

import grpc
import numpy as np
import pytest

import prebake
from tests.support.container.baking import answer
from tests.support.container.grpc_client import (
    INFER,
    ask,
    form,
    infer_message,
    make_grpc_input,
    refusal,
)
from tests.support.container.running import Server, wait_until

TOKEN = "a-token-of-the-test"
X = np.array([[1, 2, 3, 4]], np.float32)
HOLD = {"values": b"1,2,3,4", "manner": b"hold"}


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
