"""Traces of a real server, sent to a real HTTP server and read by opentelemetry-proto."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.container.collector import Collector, Received, collecting
from tests.support.container.grpc_client import GRPC, find_grpc_port, grpc_client, make_grpc_input
from tests.support.container.raw import connected, post
from tests.support.container.running import Server, Start, running, wait_until
from tests.support.container.two_models import SEVERAL, bake_two

PLAIN = b'{"values": "1,2,3,4"}'
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "s3cret-of-the-collector"
SERVER_KIND, INTERNAL_KIND, ERROR = 2, 1, 2


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def traced(start: Start, collector: Collector, **environ: str) -> Server:
    return start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **environ).wait_for("ready")


def ask(server: Server, *headers: str, body: bytes = PLAIN) -> int:
    with connected(server) as client:
        return client.send(post(body, *headers)).read().status


def of_trace(collector: Collector, trace_id: str) -> dict[str, Received]:
    return {span.name: span for span in collector.spans if span.trace_id == trace_id}


def test_a_request_is_a_span_below_its_callers(start: Start, collector: Collector) -> None:
    server = traced(start, collector, OTEL_SERVICE_NAME="mine", OTEL_RESOURCE_ATTRIBUTES="a%20b=c%2Cd,service.name=x")
    assert ask(server, f"traceparent: 00-{TRACE}-{PARENT}-01", "X-Request-Id: mine/1") == 200
    collector.wait_for("POST /generate")
    spans = of_trace(collector, TRACE)
    assert set(spans) == {"POST /generate", "receive", "queue", "generate"}
    request = spans["POST /generate"]
    assert (request.parent, request.kind, request.status) == (PARENT, SERVER_KIND, 0)
    assert request.flags & 0x301 == 0x301  # sampled, and its parent is remote
    assert request.attributes["http.request.method"] == "POST"
    assert request.attributes["http.route"] == "/generate"
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["prebake.request_id"] == "mine/1"
    assert "url.path" not in request.attributes
    assert request.resource["service.name"] == "mine"
    assert request.resource["a b"] == "c,d"
    for name in ("receive", "queue", "generate"):
        child = spans[name]
        assert (child.parent, child.kind) == (request.span_id, INTERNAL_KIND)
        assert request.start <= child.start <= child.end <= request.end
    assert spans["receive"].end <= spans["generate"].start < spans["generate"].end
    assert collector.requests[0][0] == "/v1/traces"
    assert collector.requests[0][1]["content-type"] == "application/json"


def test_a_call_of_grpc_is_a_span_below_its_callers(start: Start, collector: Collector) -> None:
    from tritonclient.utils import InferenceServerException

    server = traced(start, collector, **GRPC)
    values = make_grpc_input("values", np.array([b"1,2,3,4"], object))
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine/2"}
    with grpc_client(find_grpc_port(server)) as client:
        client.infer("tiny", [values], headers=headers)
        with pytest.raises(InferenceServerException):
            client.get_model_metadata("nobody", headers=headers)
    names = "inference.GRPCInferenceService/ModelInfer", "inference.GRPCInferenceService/ModelMetadata"
    collector.wait_for(*names)
    spans = of_trace(collector, TRACE)
    assert set(spans) == {*names, "receive", "queue", "generate"}
    call, failed = (spans[name] for name in names)
    assert (call.parent, call.kind, call.status) == (PARENT, SERVER_KIND, 0)
    assert call.attributes["rpc.system"] == "grpc"
    assert call.attributes["rpc.service"] == "inference.GRPCInferenceService"
    assert (call.attributes["rpc.method"], call.attributes["rpc.grpc.status_code"]) == ("ModelInfer", 0)
    assert call.attributes["prebake.request_id"] == "mine/2"
    assert spans["generate"].parent == call.span_id
    assert (failed.attributes["rpc.grpc.status_code"], failed.attributes["error.type"]) == (5, "NOT_FOUND")


def test_the_start_is_a_trace(start: Start, collector: Collector) -> None:
    server = traced(start, collector, PREBAKE_IMAGE_DIGEST="sha256:1")
    root = collector.find("start")
    assert root.resource["oci.manifest.digest"] == "sha256:1"
    children = [span for span in collector.spans if span.parent == root.span_id]
    assert {"launch", "bind", "live", "manifest", "warm-up", "verify"} <= {span.name for span in children}
    assert all(span.trace_id == root.trace_id and root.start <= span.start <= span.end for span in children)
    assert root.resource["service.name"] == server.get("/").json()["name"]
    assert (root.end - root.start) / 1e9 == pytest.approx(server.metric("prebake_ready_seconds"), abs=0.001)


def test_a_start_that_fails_is_a_trace_with_its_reason(start: Start, models: Path, collector: Collector) -> None:
    (models / "linear" / "bias.txt").write_text("broken")
    server = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, PREBAKE_FAILURE_EXIT_DELAY="0")
    code = server.wait()
    root = collector.find("start")
    assert root.status == ERROR
    assert root.attributes["prebake.exit_code"] == code != 0
    assert "bias.txt" in root.message


def test_models_of_one_image_have_their_phases(tmp_path: Path, collector: Collector) -> None:
    environ = {**SEVERAL, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    with running(bake_two(tmp_path), tmp_path, environ) as server:
        server.wait_for("ready")
        collector.wait_for("start", "warm-up")
        warm = [span for span in collector.spans if span.name == "warm-up"]
        assert {span.attributes["prebake.model"] for span in warm} == {"left", "right"}


def test_the_callers_flag_and_the_sampler_decide(start: Start, collector: Collector) -> None:
    server = traced(start, collector, OTEL_TRACES_SAMPLER="parentbased_always_off")
    other = TRACE.replace("0af", "fff")
    assert ask(server) == 200
    assert ask(server, f"traceparent: 00-{other}-{PARENT}-00") == 200
    assert ask(server, f"traceparent: 00-{TRACE}-{PARENT}-01") == 200
    collector.wait_for("POST /generate")
    assert {span.trace_id for span in collector.spans} == {TRACE}


def test_a_ratio_is_the_random_part_of_the_id(start: Start, collector: Collector) -> None:
    server = traced(start, collector, OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG="0.5")
    low, high = "f" * 18 + "7" + "0" * 13, "f" * 18 + "8" + "0" * 13
    for trace_id in (high, low):
        assert ask(server, f"traceparent: 00-{trace_id}-{PARENT}-01") == 200
    collector.wait_for("POST /generate")
    assert {span.trace_id for span in collector.spans} & {low, high} == {low}


def test_lines_of_the_log_have_the_id_of_the_trace(start: Start, collector: Collector) -> None:
    server = traced(start, collector)
    assert ask(server, "X-Request-Id: mine/2", body=b'{"values": "1,2,3,4", "manner": "crash"}') == 500
    request = collector.find("POST /generate")
    wait_until(lambda: bool(server.find_events("request")), "the line")
    lines = [event for event in server.events if event.get("request_id") == "mine/2"]
    assert {line["event"] for line in lines} >= {"request", "generate failed"}
    assert {line["trace_id"] for line in lines} == {request.trace_id}
    assert (request.status, request.attributes["error.type"]) == (ERROR, "500")


def test_health_checks_and_what_clients_write_are_not_in_a_trace(start: Start, collector: Collector) -> None:
    server = traced(start, collector)
    for path in ("/v2/health/live", "/metrics", "/secret/path?token=1", "/v2/models/secret"):
        server.get(path)
    collector.wait_for("GET", "GET /v2/models/{model}")
    assert not [span for span in collector.spans if "health" in span.name or "metrics" in span.name]
    assert not [request for request in collector.requests if b"secret" in request[2]]


def test_a_request_that_waits_in_vain_and_one_that_is_left(start: Start, collector: Collector) -> None:
    server = traced(start, collector)
    with connected(server) as holder:
        holder.send(post(b'{"values": "1,2,3,4", "manner": "hold"}', f"traceparent: 00-{TRACE}-{PARENT}-01"))
        server.wait_for_note("holding")
        with connected(server) as waiting:
            waiting.send(post(PLAIN, f"traceparent: 00-{TRACE[::-1]}-{PARENT}-01"))
            wait_until(lambda: server.metric("prebake_queue_depth") == 1, "the second request")
            waiting.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST at once
        collector.wait_for("POST /generate")
        left = of_trace(collector, TRACE[::-1])
        assert set(left) == {"POST /generate", "receive", "queue"}
        assert left["POST /generate"].attributes["error.type"] == "client_disconnected"
        server.leave_note("release")
        assert holder.read().status == 200
    wait_until(lambda: "generate" in of_trace(collector, TRACE), "the first request")


def test_the_last_spans_are_sent_before_the_end(start: Start, collector: Collector) -> None:
    server = traced(start, collector)
    assert ask(server, f"traceparent: 00-{TRACE}-{PARENT}-01") == 200
    server.terminate()
    assert server.wait() == 0
    assert "generate" in of_trace(collector, TRACE)


def test_a_collector_that_does_not_answer_holds_up_nothing(start: Start, collector: Collector) -> None:
    collector.release.clear()
    server = traced(start, collector)
    assert ask(server) == 200
    server.terminate()
    assert server.wait() == 0


def test_a_collector_that_is_busy_gets_the_batch_again(start: Start, collector: Collector) -> None:
    collector.answers = [503]
    server = traced(start, collector)
    collector.wait_for("start")
    assert len(collector.requests) == 2
    assert collector.requests[0][2] == collector.requests[1][2]
    (line,) = server.find_events("traces not exported")
    assert "503" in line["text"]
    wait_until(lambda: bool(server.metric('prebake_trace_spans_total{outcome="exported"}')), "the count")
    assert not server.metric('prebake_trace_spans_total{outcome="dropped"}')


def test_what_a_collector_refuses_is_dropped_and_counted(start: Start, collector: Collector) -> None:
    collector.answers = [400]
    server = traced(start, collector)
    wait_until(lambda: bool(server.metric('prebake_trace_spans_total{outcome="dropped"}')), "the count")
    assert len(collector.requests) == 1


def test_the_headers_reach_the_collector_and_nobody_else(start: Start, collector: Collector) -> None:
    code = "import os; print(dict(os.environ))"
    headers = f"authorization=Bearer%20{SECRET},x-two=2"
    collector.answers = [400]
    server = traced(start, collector, OTEL_EXPORTER_OTLP_HEADERS=headers, TINY_CODE=code)
    assert server.post(json={"values": "1,2,3,4"}).status_code == 200
    wait_until(lambda: bool(collector.requests), "an export")
    assert collector.requests[0][1]["authorization"] == f"Bearer {SECRET}"
    assert collector.requests[0][1]["x-two"] == "2"
    pages = [server.get(path).text for path in ("/", "/health", "/startup", "/metrics")]
    server.terminate()
    assert server.wait() == 0
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in server.stderr  # the model printed its environment
    assert not [text for text in (*pages, server.stderr) if SECRET in text]


@pytest.mark.parametrize(
    ("environ", "sends", "warning"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False, "http/json"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True, "http/json"),
        ({"OTEL_TRACES_SAMPLER": "jaeger_remote"}, True, "jaeger_remote"),
        ({"OTEL_SDK_DISABLED": "TRUE"}, False, ""),
        ({"OTEL_TRACES_EXPORTER": "none"}, False, ""),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector:4318"}, False, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
    ],
)
def test_other_settings(start: Start, collector: Collector, environ: dict[str, str], sends: bool, warning: str) -> None:
    server = traced(start, collector, **environ)
    assert ask(server, f"traceparent: 00-{TRACE}-{PARENT}-01") == 200
    warnings: list[dict[str, Any]] = server.find_events("telemetry settings")
    assert [warning in line["text"] for line in warnings] == ([True] if warning else [])
    server.terminate()
    assert server.wait() == 0
    assert bool(of_trace(collector, TRACE)) == sends


@pytest.mark.parametrize("with_endpoint", [False, True])
def test_nothing_of_traces_is_imported_without_an_endpoint(
    start: Start, collector: Collector, with_endpoint: bool
) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url} if with_endpoint else {"OTEL_SERVICE_NAME": "mine"}
    server = start(PYTHONPROFILEIMPORTTIME="1", **environ).wait_for("ready")
    assert server.post(json={"values": "1,2,3,4"}).status_code == 200
    server.terminate()
    assert server.wait() == 0
    imported = set(re.findall(r"\| +([\w.]+)$", server.stderr, re.MULTILINE))
    assert "entrypoints.server.app" in imported
    found = {name for name in imported if name.startswith("entrypoints.server.tracing") or name == "http.client"}
    assert bool(found) == with_endpoint
