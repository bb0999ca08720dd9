"""What a ready server answers to whom."""

from __future__ import annotations

import http.client
from datetime import datetime

import pytest

from tests.support.container.running import Server

PAGES = ("/", "/health", "/metrics", "/startup", "/v2/health/live", "/v2/health/ready")


def test_health_is_ready_with_device_and_time(server: Server) -> None:
    response = server.get("/health")
    document = response.json()
    assert response.status_code == 200
    assert document["status"] == "ready"
    assert document["device"] == "cpu"
    assert document["reason"] is None
    assert datetime.fromisoformat(document["timestamp"]).utcoffset() is not None


def test_startup_shows_every_phase_in_order(server: Server) -> None:
    document = server.get("/startup").json()
    assert document["state"] == "ready"
    phases = {phase["name"]: phase for phase in document["phases"]}
    expected = ["launch", "bind", "import h11", "live", "manifest", "sizes", "read ahead", "verify", "import numpy"]
    expected += ["import onnxruntime", "open linear", "open total", "create", "warm-up", "compare"]
    assert set(expected) <= set(phases)
    assert all(phase["seconds"] is not None for phase in document["phases"])
    assert {"h11", "numpy", "onnxruntime", "tests.support.container.tiny.model"} <= set(document["imports"])
    for process in (
        ("bind", "live"),
        ("bind", "import onnxruntime", "compare"),
    ):  # the server forks the model's after the bind
        ends = [phases[name]["start"] + phases[name]["seconds"] for name in process]
        assert ends == sorted(ends)
        assert document["ready_seconds"] >= ends[-1] - 0.001


@pytest.mark.parametrize("path", PAGES)
def test_head_is_get_without_the_body(server: Server, path: str) -> None:
    response = server.client.head(path)
    assert response.status_code == 200
    assert response.content == b""
    assert int(response.headers["content-length"]) > 0


@pytest.mark.parametrize("path", PAGES)
def test_a_page_refuses_other_methods(server: Server, path: str) -> None:
    response = server.client.post(path)
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"


def test_generate_refuses_get(server: Server) -> None:
    response = server.get("/generate")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert "POST" in response.json()["error"]["message"]


def test_an_unknown_path_is_not_found(server: Server) -> None:
    response = server.get("/nothing")
    assert response.status_code == 404
    assert "/nothing" in response.json()["error"]["message"]


def test_the_index_lists_endpoints_and_fields(server: Server) -> None:
    document = server.get("/").json()
    assert document["name"] == "tiny"
    assert "POST /generate" in document["endpoints"]
    fields = {field["name"]: field for field in document["fields"]}
    assert fields["values"]["required"] is True
    assert fields["manner"]["choices"][:3] == ["plain", "hold", "crash"]


def test_metrics_are_prometheus_text(server: Server) -> None:
    before = server.metric('prebake_requests_total{path="/generate",status="200"}') or 0
    timed = server.metric("prebake_generate_seconds_count") or 0
    assert server.post(json={"values": "1,2,3,4"}).status_code == 200
    response = server.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert server.metric('prebake_requests_total{path="/generate",status="200"}') == before + 1
    assert server.metric("prebake_generate_seconds_count") == timed + 1
    assert server.metric("prebake_ready") == 1
    assert server.metric("prebake_requests_in_flight") == 0
    assert server.metric("prebake_queue_depth") == 0
    assert (server.metric("process_resident_memory_bytes") or 0) > 10_000_000
    assert (server.metric('prebake_start_phase_seconds{phase="warm-up"}') or 0) > 0
    for line in response.text.splitlines():
        assert line.startswith("# ") or float(line.rpartition(" ")[2]) >= 0


def test_a_line_that_is_no_http_leaves_the_server_alive(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.connect()
    connection.sock.sendall(b"\x16\x03\x01 not http\r\n\r\n")
    assert b"400" in connection.sock.recv(100)
    connection.close()
    assert server.get("/v2/health/live").status_code == 200
