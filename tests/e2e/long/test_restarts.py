"""A few restarts of each kind, and what they have to notice."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec, docker_options
from prebake.io.log import silent
from prebake.measure.warmup_request import read_warmup
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.long.left_behind import find_left_behind
from tests.long.restart_record import FRESH, IN_A_REQUEST, WAYS, Record, summarize
from tests.long.restarts import restart
from tests.support.commands.projects import Built

OWNER = "the test of restarts"


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For temporary files of this process."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def run_restarts(engine: Connection, image: str, times: int, wrong: bool = False) -> Record:
    launcher = EngineLauncher(engine)
    warmup = read_warmup(launcher, image)
    if wrong:
        warmup = replace(warmup, answer=b'{"values": [1, 2, 3]}')
    return restart(engine, replace(launcher.container(image), owner=OWNER), warmup, times, silent)


def test_a_sound_image_starts_after_each_end(engine: Connection, toy: Built, empty_folder: Path) -> None:
    record = run_restarts(engine, toy.tag, 12)
    assert [each for each in record.restarts if each.problem] == []
    assert Counter(each.after for each in record.restarts) == dict.fromkeys((FRESH, *WAYS), 3)
    assert record.findings == []
    assert record.hits[IN_A_REQUEST] == 3
    left = find_left_behind(engine, OWNER, record.containers)
    assert left == []
    text = "\n".join(summarize(record, left).lines)
    assert "| all | 12 | " in text
    assert "Left behind: 0." in text


def test_a_wrong_answer_is_noticed_and_its_container_is_given_up(engine: Connection, toy: Built) -> None:
    record = run_restarts(engine, toy.tag, 1, wrong=True)
    assert [each.problem for each in record.restarts] == ["a wrong answer"]
    assert summarize(record, []).findings == [f"start 1, after {FRESH}: a wrong answer"]


def test_a_container_that_does_not_start_is_noticed(engine: Connection, toy: Built) -> None:
    launcher = EngineLauncher(engine, environment={"PREBAKE_THREADS": "many"})
    record = restart(engine, launcher.container(toy.tag), read_warmup(launcher, toy.tag), 1, silent)
    (finding,) = summarize(record, []).findings
    assert f"start 1, after {FRESH}" in finding
    assert "PREBAKE_THREADS" in finding


def test_what_is_left_behind_is_noticed(engine: Connection, toy: Built, empty_folder: Path) -> None:
    (empty_folder / "a file").touch()
    spec = ContainerSpec(toy.tag, owner=OWNER)
    with closing(engine.client()) as client:
        container = client.containers.create(spec.image, **docker_options(spec))
        try:
            left = find_left_behind(engine, OWNER, [], patience=0.1)
        finally:
            container.remove(force=True)
    assert left == [f"container {container.name}", "temporary file a file"]
    assert summarize(Record(), left).findings == [f"left behind: {each}" for each in left]


def test_a_file_in_the_container_is_noticed(engine: Connection, toy: Built) -> None:
    spec = replace(EngineLauncher(engine).container(toy.tag), read_only=False, user="0:0", environment={})
    written = replace(
        spec,
        entrypoint=["sh", "-c"],
        command=["touch /left-here; exec python3 -S -m entrypoints.serve"],
    )
    record = restart(engine, written, read_warmup(EngineLauncher(engine), toy.tag), 4, silent)
    assert any("/left-here" in finding for finding in record.findings)
