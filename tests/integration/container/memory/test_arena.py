"""Memory of a request far above the usual goes back to the system; a service whose requests are all large keeps it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from entrypoints.runtime.arena import IDENTITY_GRAPH, SHRINKAGE, Arenas, RunSizes, read_resident_bytes
from tests.support.container.running import Start, wait_until
from tests.support.repository import ROOT

MIB = 1 << 20


def read_status(process: int, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_the_memory_of_a_large_request_goes_back(start: Start) -> None:
    server = start().wait_for("ready")
    for _ in range(3):
        assert server.post(json={"values": "1,2,3,4"}).status_code == 200
    process = server.find_model_process()
    usual = read_status(process, "RssAnon")
    assert server.post(json={"values": "1,2,3,4", "manner": "large"}).status_code == 200
    assert read_status(process, "VmHWM") > read_status(process, "RssFile") + usual + 90 * MIB
    wait_until(lambda: read_status(process, "RssAnon") < usual + 30 * MIB, "the memory of the large request")
    assert server.post(json={"values": "1,2,3,4"}).status_code == 200


RUN = """
import sys
import numpy as np
from entrypoints.hardware.memory import is_out_of_memory
from entrypoints.runtime.arena import read_resident_bytes
from entrypoints.runtime.onnx_session import OnnxSession
from entrypoints.runtime.session_options import SessionConfig, make_session_options, open_inference_session, share_arena

share_arena(64 << 20)
options = make_session_options(SessionConfig("disable", prepack=False), 1)
session = OnnxSession(open_inference_session(sys.argv[1], options, {"CPUExecutionProvider": {}}))
try:
    session.run({"x": np.ones((8_000_000, 4), np.float32)})
except Exception as error:
    assert is_out_of_memory(error), error
    print(*session.run({"x": np.ones((1, 4), np.float32)})["y"].ravel())
"""


def test_a_run_that_the_container_cannot_hold_fails_and_the_process_lives(models: Path, manifest: object) -> None:
    """The kernel would end the process only when the pages are written."""
    ended = subprocess.run(
        [sys.executable, "-c", RUN, models / "linear/model.onnx"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [float(word) for word in ended.stdout.split()] == [18.0, 22.0, 26.0]


def count_shrinkages(requests: list[int]) -> list[bool]:
    sizes, found = RunSizes(), []
    for elements in requests:
        sizes.note([np.empty(elements, np.uint8)])
        found.append(sizes.end_request())
        if found[-1]:
            sizes.forget_kept()
    return found


@pytest.mark.parametrize(
    ("requests", "shrinkages"),
    [
        ([10] * 20, 0),
        ([10, *[35] * 20], 0),  # not far above
        ([10, 10, 10, 500, 10, 10], 1),
        ([10, *[500] * 20], 2),  # the warm-up is small, every request is large: that is usual soon
        ([500, *[10] * 20], 1),  # once only, when small requests have become usual
        ([500, *[10] * 20, 500, *[10] * 20], 2),
        ([10, 500] * 10, 2),  # every other request is large
        ([0, 0], 0),  # requests that run nothing
    ],
)
def test_how_often_memory_is_given_back(requests: list[int], shrinkages: int) -> None:
    assert sum(count_shrinkages(requests)) == shrinkages


def test_it_is_given_back_at_the_end_of_the_large_request() -> None:
    assert count_shrinkages([10, 10, 500, 10]) == [False, False, True, False]


def test_all_runs_of_a_request_count_as_one() -> None:
    """A denoiser runs many times in one request."""
    sizes = RunSizes()
    sizes.note([np.empty(10)])
    assert not sizes.end_request()
    for _ in range(50):
        sizes.note({"x": np.empty(500)}, [np.empty(3)])
    assert sizes.end_request()


def test_the_arena_of_a_device_shrinks_in_the_next_run() -> None:
    arenas = Arenas()
    sizes = arenas.add(RunSizes("gpu:0"))
    assert arenas.runs_on_device()
    for elements in (10, 10, 500):
        assert sizes.take_run_options() is None
        sizes.note([np.empty(elements)])
        arenas.end_request(workers=1)
    options = sizes.take_run_options()
    assert options is not None
    assert options.get_run_config_entry(SHRINKAGE) == "gpu:0"
    assert sizes.take_run_options() is None


def test_no_arena_of_a_device_shrinks_if_a_recorded_graph_uses_it() -> None:
    arenas = Arenas()
    arenas.keep_addresses()
    sizes = arenas.add(RunSizes("gpu:0"))
    for elements in (10, 500):
        sizes.note([np.empty(elements)])
        arenas.end_request(workers=1)
    assert sizes.take_run_options() is None


def test_the_graph_that_shrinks_is_onnx() -> None:
    model = onnx.load_from_string(IDENTITY_GRAPH)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Identity"]


def test_resident_memory(tmp_path: Path) -> None:
    before = read_resident_bytes()
    held = np.ones(80 * MIB, np.uint8)
    assert read_resident_bytes() - before > 60 * MIB
    assert held.size
    assert read_resident_bytes(tmp_path / "absent") == 0


def test_an_operator_has_memory_given_back(start: Start) -> None:
    server = start(PREBAKE_ADMIN_TOKEN="a-token").wait_for("ready")
    name, headers = server.get("/").json()["name"], {"authorization": "Bearer a-token"}
    path = f"/v2/repository/models/{name}/clear"
    for _ in range(8):  # that size becomes the usual one, so that the process keeps its memory
        assert server.post(json={"values": "1,2,3,4", "manner": "large"}).status_code == 200
    response = server.client.post(path, headers=headers)
    assert response.status_code == 200
    resident = response.json()["resident_bytes"]
    assert resident["after"] < resident["before"] - 30 * MIB
    assert server.find_events("cleared")
    assert server.post(json={"values": "1,2,3,4"}).status_code == 200


def test_only_an_operator_clears(start: Start) -> None:
    server = start(PREBAKE_ADMIN_TOKEN="a-token").wait_for("ready")
    name, headers = server.get("/").json()["name"], {"authorization": "Bearer a-token"}
    assert server.client.post(f"/v2/repository/models/{name}/clear").status_code == 401
    graph = server.client.post(f"/v2/repository/models/{name}.linear/clear", headers=headers)
    assert graph.status_code == 400
    assert "cleared with it" in graph.json()["error"]
    assert server.client.post(f"/v2/repository/models/{name}/unload", headers=headers).status_code == 200
    unloaded = server.client.post(f"/v2/repository/models/{name}/clear", headers=headers)
    assert unloaded.status_code == 503
    assert "unloaded" in unloaded.json()["error"]
