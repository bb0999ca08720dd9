"""``prebake run --watch``: a change of the code answers without a build, and a wrong one ends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from prebake.docker.connection import Connection
from tests.e2e.commands.run.test_run import all_containers, ask, interrupt, running
from tests.support.commands.projects import Built, Child

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
