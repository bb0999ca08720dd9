"""Labels and times in what is rendered: a Dockerfile's own quoting, and no line that somebody else wrote."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from prebake.plan.image_metadata import Metadata
from prebake.plan.planner import make_plan
from prebake.plan.values import Options, Plan
from prebake.render.bakefile import render_bake_file
from prebake.render.dockerfile import render_context
from prebake.render.environment import dockerfile_string
from prebake.spec.project import Project, read_project
from tests.support.repository import ROOT

METADATA = Metadata(created=1_700_000_000, commit="c" * 40, given={"note": 'a "b" $C \\ é <d>'})


def of(project: Project, metadata: Metadata = METADATA) -> Plan:
    return make_plan(project, Options(metadata=metadata))


def dockerfile(project: Project, plan: Plan) -> list[str]:
    files = {file.path: file.data for file in render_context(plan, project.templates)}
    return (files["Dockerfile"] or b"").decode().splitlines()


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("plain", '"plain"'), ('a "b" $C \\', '"a \\"b\\" \\$C \\\\"'), ("é <&> it's", '"é <&> it\'s"'), ("", '""')],
)
def test_a_dockerfiles_string_escapes_what_a_dockerfile_reads_and_nothing_else(text: str, quoted: str) -> None:
    assert dockerfile_string(text) == quoted


def test_a_line_break_is_no_dockerfile_string() -> None:
    with pytest.raises(ValueError, match="one line"):
        dockerfile_string("a\nRUN b")


def test_the_dockerfile_has_the_labels_and_names_its_time() -> None:
    project = read_project(ROOT, "minilm")
    lines = dockerfile(project, of(project))
    assert 'LABEL note="a \\"b\\" \\$C \\\\ é <d>"' in lines
    assert f'LABEL org.opencontainers.image.revision="{"c" * 40}"' in lines
    assert 'LABEL org.opencontainers.image.created="2023-11-14T22:13:20Z"' in lines
    assert any(line.startswith("#   SOURCE_DATE_EPOCH=1700000000 docker buildx build") for line in lines)


def test_a_title_of_several_lines_adds_none_to_the_dockerfile() -> None:
    project = read_project(ROOT, "minilm")
    spec = project.spec.model_copy(update={"title": "A\nRUN rm -rf /", "description": "B\nRUN true"})
    odd = replace(project, spec=spec)
    before, after = dockerfile(project, of(project)), dockerfile(odd, of(odd))
    assert len(before) == len(after)
    assert not [line for line in after if line.startswith(("RUN rm", "RUN true"))]


def test_a_bake_file_gives_each_image_its_time() -> None:
    project = read_project(ROOT, "minilm")
    plans = {"with": of(project), "without": of(project, Metadata())}
    targets = json.loads(render_bake_file(plans))["target"]
    assert targets["with"]["args"] == {"SOURCE_DATE_EPOCH": "1700000000"}
    assert targets["without"]["args"] == {"SOURCE_DATE_EPOCH": "0"}
