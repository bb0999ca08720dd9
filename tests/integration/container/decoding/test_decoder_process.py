"""The decoders' process of a real server: forked during the start, ended with the model process, replaced if it is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.container.baking import replace_file, write_manifest
from tests.support.container.running import Server, Start, wait_until

ANSWER = {"result": 3, "imported here": False}


@pytest.fixture
def server(start: Start, models: Path, manifest: dict[str, Any]) -> Server:
    """Of a model that has a module ``decoding``."""
    manifest["model"]["module"] = "tests.support.container.apart.model"
    replace_file(models, manifest, "warmup/answer.json", json.dumps(ANSWER).encode())
    write_manifest(models, manifest)
    return start().wait_for("ready")


def find_children(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task").glob("*/children")  # a thread forked it
    return [int(child) for path in children for child in path.read_text().split()]


def find_template(server: Server) -> int:
    (template,) = find_children(server.find_model_process())
    return template


def ask(server: Server, call: str) -> httpx.Response:
    return server.post(data={"values": call})


def begin(server: Server, call: str) -> int:
    """The process of a call that has no end."""

    def post() -> None:
        with contextlib.suppress(httpx.TransportError):  # the test ends the server
            server.post(data={"values": call})

    threading.Thread(target=post, daemon=True).start()
    template = find_template(server)
    wait_until(lambda: bool(find_children(template)), "a worker")
    return find_children(template)[0]


def has_ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_decoders_are_imported_in_their_own_process_alone(server: Server) -> None:
    assert ask(server, "add [2, 5]").json() == {"result": 7, "imported here": False}
    assert server.metric('prebake_start_phase_seconds{phase="decoder"}') is not None
    template = find_template(server)

    def count_sockets() -> int:
        links = [link.readlink() for link in Path(f"/proc/{template}/fd").iterdir()]
        return sum(str(each).startswith("socket:") for each in links)

    # neither the listening one nor that to the server process; the worker's closes when it has been reaped
    wait_until(lambda: count_sockets() == 1, "the template's one socket")
    assert Path(f"/proc/{template}/task").is_dir()
    assert len(list(Path(f"/proc/{template}/task").iterdir())) == 1


def test_the_template_runs_the_images_own_files_and_forks_for_those_of_requests(server: Server) -> None:
    template = find_template(server)
    seen = ask(server, "describe").json()["result"]
    assert (seen["parent"], seen["threads"]) == (template, 1)
    assert seen["process"] != template
    (forks,) = (
        line for line in Path(f"/proc/{template}/status").read_text().splitlines() if line.startswith("Threads")
    )
    assert forks.split()[-1] == "1"


def test_a_model_without_decoders_has_no_such_process(start: Start) -> None:
    server = start().wait_for("ready")
    assert find_children(server.find_model_process()) == []


@pytest.mark.parametrize("call", ["allocate [400000000]", "end_by [11]", "leave [3]"])
def test_a_file_that_breaks_its_decoder_is_the_clients_to_correct(server: Server, call: str) -> None:
    template = find_template(server)
    response = ask(server, call)
    assert response.status_code == 422
    assert list(response.json()["error"]["fields"]) == ["values"]
    assert ask(server, "add [1, 1]").json()["result"] == 2
    assert find_template(server) == template


def test_a_client_that_leaves_ends_the_decoding(server: Server) -> None:
    with pytest.raises(httpx.ReadTimeout):
        server.post(data={"values": "spin"}, timeout=1)
    template = find_template(server)
    wait_until(lambda: not find_children(template), "the end of the worker")
    assert ask(server, "add [1, 1]").status_code == 200


def test_a_killed_template_is_replaced(server: Server, tmp_path: Path) -> None:
    template = find_template(server)
    worker = begin(server, f'sleep_after ["{tmp_path / "begun"}"]')
    wait_until(
        (tmp_path / "begun").exists, "the worker"
    )  # a call that has not begun would be sent to the next template
    os.kill(template, signal.SIGKILL)
    assert ask(server, "add [4, 5]").json()["result"] == 9
    wait_until(lambda: has_ended(worker), "the end of the worker")
    assert find_template(server) != template
    assert server.status() == "ready"


@pytest.mark.parametrize("ended", ["model process", "server process"])
def test_no_process_is_left(server: Server, ended: str) -> None:
    template, worker = find_template(server), begin(server, "spin")
    os.kill(server.find_model_process() if ended == "model process" else server.process.pid, signal.SIGKILL)
    wait_until(lambda: has_ended(template) and has_ended(worker), "the end of both processes")


def test_an_orderly_end_ends_them_too(server: Server) -> None:
    template = find_template(server)
    assert ask(server, "add [1, 1]").status_code == 200
    server.terminate()
    assert server.wait() == 0
    wait_until(lambda: has_ended(template), "the end of the template")
