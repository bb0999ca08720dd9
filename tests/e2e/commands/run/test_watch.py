"""``prebake run --watch``: a change of the code answers without a build, and a wrong one ends nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from prebake.docker.connection import Connection
from prebake.errors import Interrupted
from tests.support.commands.built_images import build_clone
from tests.support.commands.projects import Built, Child, Project, add_pair
from tests.support.commands.run_command import READY, address_of, all_containers, ask, interrupt, running

ANSWER = 'json.dumps({"values": values[0].tolist()})'
ZEROS = "0 0 0 0 0 0 0 0"
"""Not the warm-up request, whose answer has to stay the framework's."""


@pytest.fixture
def code(toy: Built) -> Iterator[Path]:
    """The toy's model.py, which is as it was after the test."""
    path = toy.project.root / "images/toy/model.py"
    text = path.read_text()
    yield path
    path.write_text(text)


def changed(code: Path, note: str) -> str:
    """model.py with an answer of its own for one request."""
    before = "        values = np.array([[float(word)"
    text = code.read_text()
    assert before in text
    return text.replace(
        before, f'        if form["values"] == "{ZEROS}":\n            return Answer(b"{note}", "text/plain")\n{before}'
    )


def save(path: Path, text: str) -> None:
    """As editors do that rename a new file over the old one."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)


def after(child: Child, text: str, said: str) -> None:
    """Wait until ``said`` stands behind the last ``text`` on stderr."""
    child.wait_until(lambda: said in child.stderr.rpartition(text)[2], f"{said!r} after {text!r}")


def test_a_change_answers_without_a_build_and_wrong_ones_are_told(engine: Connection, toy: Built, code: Path) -> None:
    original, first, second = code.read_text(), changed(code, "first"), changed(code, "second")
    with running(toy, "--watch") as child:
        assert ask(child, ZEROS).headers["content-type"] == "application/json"
        containers = all_containers(engine, toy.tag)
        save(code, first)
        child.wait_for("images/toy/model.py changed: toy starts again")
        child.wait_for("toy is ready again after ")
        assert ask(child, ZEROS).text == "first"
        for count, (text, reason) in enumerate(
            [
                ("this is no python", "SyntaxError"),
                (original + "\nraise ValueError('not today')\n", "not today"),
                (original.replace(ANSWER, 'json.dumps({"values": [0.0] * 8})'), "warm-up answer differs"),
            ],
            start=1,
        ):
            code.write_text(text)
            child.wait_until(lambda: child.stderr.count("cannot be loaded") == count, reason)  # noqa: B023  waited for here
            assert reason in child.stderr.rpartition("cannot be loaded")[2]
            assert ask(child, ZEROS).status_code == 503
        save(code, second)
        after(child, "cannot be loaded", "toy is ready again after ")
        assert ask(child, ZEROS).text == "second"
        assert all_containers(engine, toy.tag) == containers, "it is the same container all the time"
        interrupt(child).expect(0)
    assert all_containers(engine, toy.tag) == []


def test_files_that_only_a_build_reads_are_told(toy: Built) -> None:
    spec = toy.project.root / "images/toy/image.yaml"
    with running(toy, "--watch") as child:
        spec.write_text(spec.read_text())
        child.wait_for("images/toy/image.yaml changed: this takes effect with the next build only")
        interrupt(child).expect(0)


def test_a_first_start_that_fails_is_tried_again_after_the_next_change(
    engine: Connection, toy: Built, code: Path
) -> None:
    original = code.read_text()
    code.write_text(f"raise ValueError('not yet')\n{original}")
    with toy.project.started("run", "toy", "--tag", toy.tag, "--watch") as child:
        child.wait_for("ended with code 76: ").wait_for("the container starts again after the next change of the code")
        assert all_containers(engine, toy.tag) == []
        save(code, original)
        child.wait_for("administration: ")
        assert ask(child).status_code == 200
        interrupt(child).expect(0)


def test_ctrl_c_after_a_failed_start_passes_on_its_code(toy: Built, code: Path) -> None:
    code.write_text("raise ValueError('not yet')\n")
    with toy.project.started("run", "toy", "--tag", toy.tag, "--watch") as child:
        child.wait_for("the container starts again after the next change of the code")
        interrupt(child).expect(76)


def test_a_change_of_the_servers_code_starts_the_container_again(engine: Connection, toy: Built) -> None:
    server = toy.project.root / "entrypoints/server/app.py"
    with running(toy, "--watch") as child:
        before = all_containers(engine, toy.tag)
        server.touch()
        child.wait_for("entrypoints/server/app.py changed: the container starts again")
        after(child, "the container starts again", "ready after ")
        assert ask(child).status_code == 200
        now = all_containers(engine, toy.tag)
        assert len(now) == 1
        assert now != before
        interrupt(child).expect(0)


def test_a_second_ctrl_c_waits_for_no_request(engine: Connection, toy: Built, code: Path) -> None:
    before = "        values = np.array([[float(word)"
    slow = f"        if form['values'] == '{ZEROS}':\n            __import__('time').sleep(60)\n{before}"
    code.write_text(code.read_text().replace(before, slow))
    with running(toy, "--watch", "-e", "PREBAKE_ACCESS_LOG=all") as child, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, child, ZEROS)
        requests = f"{address_of(child)}/metrics"
        child.wait_until(
            lambda: "prebake_requests_in_flight 1" in httpx.get(requests, trust_env=False, timeout=30).text,
            "the request",
        )
        child.process.send_signal(signal.SIGINT)
        child.wait_for("stopping: requests in flight have 25 s")
        interrupt(child).expect(Interrupted.exit_code)
        assert isinstance(answer.exception(), httpx.TransportError), "its connection was cut"
    assert all_containers(engine, toy.tag) == []


def test_of_several_models_the_changed_one_starts_again(engine: Connection, project: Project) -> None:
    add_pair(project)
    with build_clone(engine, project, "pair") as pair:
        with project.started("run", "pair", "--tag", pair.tag, "--watch") as child:
            child.wait_for(READY)
            assert child.stderr.count("  curl ") == 2
            code = project.root / "images/twin/model.py"
            code.write_text(changed(code, "changed"))
            child.wait_for("images/twin/model.py changed: twin starts again").wait_for("twin is ready again after ")
            assert "toy starts again" not in child.stderr
            assert ask(child, ZEROS, "/v2/models/twin/generate").text == "changed"
            assert ask(child, ZEROS, "/v2/models/toy/generate").json().keys() == {"values"}
            interrupt(child).expect(0)
        assert all_containers(engine, pair.tag) == []
