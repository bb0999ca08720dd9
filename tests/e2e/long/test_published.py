"""One published graph, taken through both commands; and files that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from prebake.docker.connection import Connection
from tests.long.published import bake, fetch, summarize
from tests.support.commands.projects import Project, clone, reach


@pytest.fixture
def empty_project(engine: Connection, tmp_path: Path) -> Project:
    return clone(tmp_path / "project", variables=reach(engine))


def test_a_published_graph_is_baked(engine: Connection, empty_project: Project, tmp_path: Path) -> None:
    graph = min(fetch("silero-vad", tmp_path), key=lambda path: path.stat().st_size)
    baked = bake(engine, empty_project, "silero-vad", graph)
    assert baked.problem == ""
    assert "input" in baked.inputs
    outcome = summarize([baked])
    assert outcome.findings == []
    assert any(f"`{graph.name}` | baked" in line for line in outcome.lines)


def test_a_file_that_is_no_graph_is_a_finding(engine: Connection, empty_project: Project, tmp_path: Path) -> None:
    graph = tmp_path / "no.onnx"
    graph.write_bytes(b"no graph")
    (finding,) = summarize([bake(engine, empty_project, "none", graph)]).findings
    assert "none, no.onnx: init ended with" in finding


def test_no_graph_at_all_is_a_finding() -> None:
    assert summarize([]).findings == ["no graph was found"]
