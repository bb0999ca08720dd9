"""The page of metrics of real servers, judged by Prometheus' promtool and by the parser of its Python client."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from entrypoints.version import VERSION
from tests.support.container.raw import ask, connected, post
from tests.support.container.running import Server, Start, wait_until
from tests.support.tools import check_metrics

TOKEN = "a-token-of-the-test"
DIGEST = "sha256:" + "a" * 64
PLAIN = b'{"values": "1,2,3,4"}'


def read(server: Server) -> dict[str, list[tuple[str, Mapping[str, str], float]]]:
    """By family, the samples: name, labels and value."""
    text = server.get("/metrics").text
    return {
        family.name: [(sample.name, sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(text)
    }


def count(server: Server, **labels: str) -> float:
    return sum(value for _, found, value in read(server)["prebake_requests"] if labels.items() <= found.items())


def test_a_page_is_what_prometheus_reads(server: Server) -> None:
    assert ask(server, post(PLAIN)).status == 200
    assert ask(server, post(b'{"values": 1')).status == 400
    assert ask(server, b"nonsense\r\n\r\n").status == 400
    page = server.get("/metrics").text
    assert check_metrics(page) == ""
    assert check_metrics("bad_name_total 1\n") != ""
    families = read(server)
    assert {"prebake_request_seconds", "prebake_queue_seconds", "prebake_generate_seconds", "process_open_fds"} <= set(
        families
    )
    assert not [name for name in families if name.startswith(("prebake_gpu_", "prebake_trace_"))]


def test_a_page_during_the_start_and_after_a_fault_is_one_too(start: Start, models: Path) -> None:
    server = start(TINY_START="1").wait_for("starting")
    page = server.get("/metrics").text
    assert check_metrics(page) == ""
    assert "prebake_ready 0\n" in page
    (models / "linear" / "bias.txt").write_text("broken")
    failed = start().wait_for("failed")
    assert check_metrics(failed.get("/metrics").text) == ""


def test_build_info_says_which_image_runs(start: Start) -> None:
    server = start(PREBAKE_IMAGE_DIGEST=DIGEST).wait_for("ready")
    manifest = server.get("/").json()
    ((_, labels, value),) = read(server)["prebake_build_info"]
    assert value == 1
    assert labels["version"] == VERSION
    assert labels["digest"] == DIGEST
    assert (labels["model"], labels["checkpoint"], labels["target"]) == (
        manifest["name"],
        manifest["checkpoint"],
        manifest["target"],
    )


def test_the_time_of_whole_requests_of_queue_and_of_work(start: Start) -> None:
    server = start().wait_for("ready")
    for _ in range(3):
        assert server.post(json={"values": "1,2,3,4"}).status_code == 200
    assert server.post(json={"values": "1,2"}).status_code == 422  # the model refuses it at work
    assert server.post(json={}).status_code == 422  # nobody begins it
    assert server.post(content=b"x", headers={"content-type": "text/plain"}).status_code == 415
    families = read(server)
    whole = {
        labels["status"]: value for name, labels, value in families["prebake_request_seconds"] if name.endswith("count")
    }
    assert whole == {"200": 3, "415": 1, "422": 2}
    sums = {
        name: [
            value
            for sample, labels, value in families[name]
            if sample == f"{name}_sum" and labels.get("status", "200") == "200"
        ]
        for name in ("prebake_request_seconds", "prebake_generate_seconds")
    }
    assert sums["prebake_request_seconds"] > sums["prebake_generate_seconds"] > [0]
    assert server.metric("prebake_queue_seconds_count") == 4
    assert server.metric("prebake_generate_seconds_count") == 3


def test_paths_of_the_protocol_are_patterns(server: Server) -> None:
    name = server.get("/").json()["name"]
    for number in range(5):
        assert server.get(f"/v2/models/nobody{number}").status_code == 404
        assert server.get(f"/nothing/{number}").status_code == 404
        assert server.get(f"/v2/nothing/{number}").status_code == 404
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
    path = f"/v2/models/{name}.linear/infer"
    before = server.metric('prebake_request_seconds_count{status="200"}') or 0
    assert server.client.post(path, json={"inputs": [tensor]}).status_code == 200
    assert server.client.get(path).status_code == 405
    assert count(server, path="/v2/models/{model}/infer", status="200") == 1
    assert count(server, path="/v2/models/{model}/infer", status="405") == 1
    assert count(server, path="/v2/models/{model}", status="404") == 5
    assert count(server, path="other", status="404") >= 10
    assert server.metric('prebake_request_seconds_count{status="200"}') == before + 1
    paths = {labels["path"] for _, labels, _ in read(server)["prebake_requests"]}
    assert not [path for path in paths if "nobody" in path or "nothing" in path or name in path]


def test_an_event_stream_counts_with_its_end(start: Start) -> None:
    server = start().wait_for("ready")
    headers = {"accept": "text/event-stream", "x-request-id": "stream"}
    form = {"values": "1,2,3,4", "manner": "crash"}
    stream = server.post(data=form, headers=headers)
    assert stream.status_code == 200
    assert "event: error" in stream.text
    assert count(server, path="/generate", status="500") == 1
    wait_until(lambda: bool(server.find_events("request")), "the line")
    (line,) = [line for line in server.find_events("request") if line["request_id"] == "stream"]
    assert (line["status"], line["outcome"]) == (200, 500)


def test_a_model_that_is_unloaded_is_not_ready(start: Start) -> None:
    server = start(PREBAKE_ADMIN_TOKEN=TOKEN).wait_for("ready")
    path = f"/v2/repository/models/{server.get('/').json()['name']}"
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert server.metric("prebake_ready") == 1
    cpu = server.metric("process_cpu_seconds_total") or 0
    assert server.client.post(f"{path}/unload", headers=headers).status_code == 200
    assert server.metric("prebake_ready") == 0
    assert server.get("/v2/health/ready").status_code == 200
    assert (
        (server.metric("process_cpu_seconds_total") or 0) >= cpu > 0
    )  # its process has ended, and its time is not lost
    assert server.client.post(f"{path}/load", headers=headers).status_code == 200
    assert server.metric("prebake_ready") == 1


def test_open_files_and_the_memory_of_bodies(server: Server) -> None:
    before = server.metric("process_open_fds") or 0
    assert before > 5
    assert server.metric("process_max_fds") == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    limit = server.metric("prebake_request_memory_limit_bytes") or 0
    assert limit >= 2**25
    with connected(server) as client:
        client.send(post(PLAIN + b" " * 5000)[:-1])
        wait_until(lambda: (server.metric("prebake_request_memory_used_bytes") or 0) > 5000, "the body")
        assert (server.metric("process_open_fds") or 0) > before
        assert client.send(b" ").read().status == 200
    assert server.metric("prebake_request_memory_used_bytes") == 0
