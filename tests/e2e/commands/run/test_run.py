"""``prebake run``: the real command, a real Engine, and a container that answers until the command ends."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from prebake.docker.connection import Connection
from prebake.docker.containers.attached import PortTaken
from prebake.errors import NotBuilt
from tests.support.commands.leftovers import started_containers
from tests.support.commands.projects import Built, Project, wait_until
from tests.support.commands.run_command import READY, address_of, all_containers, ask, interrupt, running


def test_it_answers_and_ctrl_c_ends_and_removes_the_container(engine: Connection, toy: Built) -> None:
    with running(toy) as child:
        assert re.search(r"^ +\d+\.\d\d s  warm-up \(\d+\.\d\d s\)$", child.stderr, re.MULTILINE), "no phase is shown"
        assert len(ask(child).json()["values"]) == 8
        (container,) = started_containers(engine, toy.tag)
        with closing(engine.client()) as client:
            options = client.containers.get(container).attrs["HostConfig"]
        assert (options["Memory"], options["NanoCpus"], options["ShmSize"]) == (512 * 2**20, 10**9, 256 * 2**20)
        assert (options["ReadonlyRootfs"], options["CapDrop"], options["AutoRemove"]) == (True, ["ALL"], True)
        assert "no-new-privileges" in options["SecurityOpt"]
        assert [each["HostIp"] for each in options["PortBindings"]["8000/tcp"]] == ["127.0.0.1"]
        ended = interrupt(child).expect(0)
    assert re.search(r"^\d\d:\d\d:\d\d POST /generate 200 in \d\.\d{3} s model=toy$", ended.stdout, re.MULTILINE), (
        ended.stdout
    )
    assert "GET /startup" not in ended.stdout, "requests of the command itself are no part of the log"
    assert all_containers(engine, toy.tag) == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_line_for_curl_gets_the_answer_of_the_warm_up(toy: Built) -> None:
    with running(toy) as child:
        (line,) = (line for line in child.stderr.splitlines() if line.startswith("  curl "))
        answer = subprocess.run(
            line, shell=True, check=True, capture_output=True, cwd=toy.project.root, timeout=60
        ).stdout
        assert len(json.loads(answer)["values"]) == 8
        interrupt(child).expect(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_as_ctrl_c_does(engine: Connection, toy: Built, number: int) -> None:
    with running(toy, "--json") as child:
        ended = interrupt(child, number).expect(0)
    assert {"live", "ready", "stopped"} <= {json.loads(line)["event"] for line in ended.stdout.splitlines()}
    assert all_containers(engine, toy.tag) == []


def test_two_run_at_once_at_ports_of_their_own(toy: Built) -> None:
    with running(toy) as first, running(toy) as second:
        assert address_of(first) != address_of(second)
        assert ask(first).json() == ask(second).json()
        interrupt(first).expect(0)
        interrupt(second).expect(0)


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(engine: Connection, toy: Built) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        ended = toy.project.run("run", "toy", "--tag", toy.tag, "--port", port).expect(PortTaken.exit_code)
    assert f"Port {port} of 127.0.0.1 is in use." in ended.stderr
    assert all_containers(engine, toy.tag) == []
    with running(toy, "--port", port) as child:
        assert address_of(child) == f"http://127.0.0.1:{port}"
        interrupt(child).expect(0)


def test_the_token_administers_the_container_and_opens_the_page(toy: Built, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o755)
    with running(toy, "--open", BROWSER=f"{browser} %s") as child:
        token = child.stderr.partition(READY)[2].split()[0]
        wait_until(lambda: opened.exists() and opened.read_text(), "the browser")
        assert opened.read_text() == f"{address_of(child)}/#token={token}"
        unload = f"{address_of(child)}/v2/repository/models/toy/unload"
        assert httpx.post(unload, trust_env=False).status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.post(unload, headers=headers, trust_env=False, timeout=60).status_code == 200
        assert child.stderr.count(token) == 1
        ended = interrupt(child).expect(0)
    assert token not in ended.stdout


def test_a_container_that_fails_passes_on_its_code_reason_and_action(engine: Connection, toy: Built) -> None:
    ended = toy.project.run("run", "toy", "--tag", toy.tag, "-e", "PREBAKE_WORKERS=many").expect(78)
    assert "ended with code 78: " in ended.stderr
    assert "PREBAKE_WORKERS" in ended.stderr
    assert "next: " in ended.stderr
    assert all_containers(engine, toy.tag) == []


def test_an_image_that_is_not_built_is_named_with_the_command_that_builds_it(project: Project) -> None:
    ended = project.run("run", "toy", "--tag", "prebake-test:never-built").expect(NotBuilt.exit_code)
    assert "The Engine has no image prebake-test:never-built." in ended.stderr
    assert "python build.py --model toy --tag prebake-test:never-built" in ended.stderr
    assert "--build" in ended.stderr


def test_weights_in_an_image_of_their_own_are_mounted(
    engine: Connection, project: Project, new_tag: Callable[[], str]
) -> None:
    tag = new_tag()
    project.run("--model", "toy", "--tag", tag, "--weights", "volume").expect(0)
    with project.started("run", "toy", "--tag", tag) as child:
        child.wait_for(READY)
        assert len(ask(child).json()["values"]) == 8
        interrupt(child).expect(0)
    assert all_containers(engine, tag) == []


def test_the_container_of_a_command_that_was_killed_is_removed_by_the_next_one(engine: Connection, toy: Built) -> None:
    with running(toy) as child:
        child.process.kill()
        child.process.wait()
        (stray,) = all_containers(engine, toy.tag)
    with running(toy) as child:
        assert stray not in all_containers(engine, toy.tag)
        interrupt(child).expect(0)
    assert all_containers(engine, toy.tag) == []
