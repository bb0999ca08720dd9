"""Counted starts of the toy: repeatable, and a difference is named after one start."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from prebake.docker.buildkit.buildx import BuildxRequest, build
from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import LABEL, ContainerSpec
from prebake.docker.images.images import inspect_image
from prebake.errors import AnswerDiffers
from prebake.io.log import silent
from prebake.measure.counters.comparison import Change, compare_counters
from prebake.measure.counters.counters import Counters
from prebake.measure.counters.sentences import describe_comparison
from prebake.measure.warmup_request import WarmupRequest, read_warmups
from prebake.workflow.start_check.counted_start import count_start, layer_bytes
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.support.commands.projects import Built, Project

MIB = 2**20
LIBRARY = "/opt/prebake/numpy/linalg/_umath_linalg.cpython-311-x86_64-linux-gnu.so"
CHANGED = f"""
import colorsys
import os

descriptor = os.open({LIBRARY!r}, os.O_RDONLY)
for _ in range(16):
    os.pread(descriptor, {MIB // 16}, 0)
"""


class WithoutPtrace(EngineLauncher):
    """Its containers' seccomp profile refuses one call."""

    def container(self, image: str) -> ContainerSpec:
        refused = {"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refused]}
        return replace(super().container(image), security_options=[f"seccomp={json.dumps(profile)}"])


@pytest.fixture(scope="module")
def warmups(engine: Connection, toy: Built) -> Mapping[str, WarmupRequest]:
    return read_warmups(EngineLauncher(engine), toy.tag)


@pytest.fixture(scope="module")
def baseline(engine: Connection, toy: Built, warmups: Mapping[str, WarmupRequest]) -> Counters:
    return count_start(engine, EngineLauncher(engine), toy.tag, warmups)


@pytest.fixture(autouse=True)
def no_container_is_left(engine: Connection, toy: Built) -> Iterator[None]:
    yield
    with closing(engine.client()) as client:
        containers = client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
        assert not [each.name for each in containers if each.attrs["Config"]["Image"] == toy.tag]


def test_two_starts_have_the_same_modules_files_bytes_and_threads(
    engine: Connection, toy: Built, warmups: Mapping[str, WarmupRequest], baseline: Counters
) -> None:
    again = count_start(engine, EngineLauncher(engine), toy.tag, warmups)
    assert again.counted, again.reason
    assert again.modules == baseline.modules
    assert again.files.keys() == baseline.files.keys()
    comparison = compare_counters(again, baseline)
    assert comparison.changes == ()
    assert [value.name for value in comparison.values if value.moved] == []
    assert describe_comparison(comparison) == []


def test_both_processes_are_counted(baseline: Counters) -> None:
    assert {"entrypoints.serve", "h11", "numpy", "images.toy.model"} <= baseline.modules.keys()
    assert "/models/first/model.safetensors" in baseline.files
    assert baseline.processes_created == 1


def test_one_more_module_and_one_more_megabyte_are_named(
    engine: Connection, toy: Built, project: Project, tag: str, warmups: Mapping[str, WarmupRequest], baseline: Counters
) -> None:
    code = project.root / "images" / "toy" / "model.py"
    code.write_text(code.read_text() + CHANGED)
    project.run("--model", "toy", "--tag", tag).expect(0)
    counters = count_start(engine, EngineLauncher(engine), tag, warmups)
    comparison = compare_counters(counters, baseline)
    assert not comparison.reason

    modules = [change for change in comparison.changes if change.what == "module"]
    assert [(change.name, change.change) for change in modules] == [("colorsys", "added")]
    changes = {change.name: change for change in comparison.changes if change.what == "file"}
    file = counters.modules["colorsys"]
    assert changes[file].change == "added"
    assert changes[file].bytes == modules[0].bytes > 0
    before = baseline.files[LIBRARY].bytes
    assert changes.pop(LIBRARY) == Change("file", LIBRARY, "changed", before + MIB, before)
    del changes[file]
    assert all(change.change == "changed" and "toy" in name for name, change in changes.items()), changes

    lines = describe_comparison(comparison)
    assert lines[0].startswith("1 module more: colorsys (")
    assert "after images.toy.model" in lines[0]
    assert any(LIBRARY in line for line in lines)
    moved = {value.name for value in comparison.values if value.moved}
    assert {"modules imported", "files opened", "bytes read"} <= moved
    assert "threads created" not in moved


def test_a_container_in_which_ptrace_is_forbidden(
    engine: Connection, toy: Built, warmups: Mapping[str, WarmupRequest], baseline: Counters
) -> None:
    counters = count_start(engine, WithoutPtrace(engine), toy.tag, warmups)
    assert not counters.counted
    assert "ptrace is forbidden" in counters.reason
    assert counters.layer_bytes == baseline.layer_bytes
    document = compare_counters(counters, baseline).document()
    assert (document["counted"], document["reason"]) == (False, counters.reason)
    assert all(value["unit"] == "bytes" for value in document["values"])


def test_an_image_that_has_no_python_on_its_path(
    engine: Connection, toy: Built, tmp_path: Path, tag: str, warmups: Mapping[str, WarmupRequest]
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {toy.tag}\nENV PATH=/nowhere\n")
    build(engine, BuildxRequest(tmp_path, outputs=(f"type=docker,name={tag}",)), log=silent)
    counters = count_start(engine, EngineLauncher(engine), tag, warmups)
    assert not counters.counted
    assert counters.reason.startswith("the tracer needs python3 in the image")


def test_another_answer_is_an_error_and_leaves_no_container(
    engine: Connection, toy: Built, warmups: Mapping[str, WarmupRequest]
) -> None:
    wrong = {name: replace(warmup, answer=b'{"values": [1]}') for name, warmup in warmups.items()}
    with pytest.raises(AnswerDiffers):
        count_start(engine, EngineLauncher(engine), toy.tag, wrong)


def test_layers_by_kind(engine: Connection, toy: Built, baseline: Counters) -> None:
    facts = inspect_image(engine, toy.tag)
    assert baseline.layer_bytes == layer_bytes(facts)
    assert list(baseline.layer_bytes) == ["base", "dependencies", "weights", "derived", "graphs", "code"]
    assert sum(baseline.layer_bytes.values()) == baseline.image_bytes == facts.size
