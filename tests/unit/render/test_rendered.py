"""What holds of every rendering. ``test_golden.py`` compares the files themselves."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from prebake.plan.planner import make_plan
from prebake.plan.runtime import package_locks
from prebake.plan.values import Options, Plan
from prebake.render.build_options import BuildOptions
from prebake.render.dockerfile import render_context
from prebake.render.listing import list_document, plan_text
from prebake.render.stages import model_stages
from prebake.spec.image.image import Target
from prebake.spec.project import Project, read_project, read_spec
from prebake.spec.project_folder import list_images
from tests.support.repository import ROOT

CASES: list[tuple[str, Target]] = [
    (name, target) for name in list_images(ROOT) for target in read_spec(ROOT, name).targets
]


def plan_of(name: str, target: Target) -> tuple[Project, Plan]:
    project = read_project(ROOT, name)
    return project, make_plan(project, Options(target=target))


@pytest.mark.parametrize(("name", "target"), CASES)
def test_the_context_has_what_the_dockerfile_copies(name: str, target: Target) -> None:
    project, plan = plan_of(name, target)
    paths = {file.path for file in render_context(plan, project.templates)}
    for stages, model in zip(model_stages(plan), plan.models, strict=True):
        assert {f"{stages.context}checkpoint/{file.path}" for file in model.files if not file.ship} <= paths
        assert f"{stages.context}bake/settings.json" in paths
        assert f"app/images/{model.name}/model.py" in paths
        assert f"app/images/{model.name}/export.py" not in paths
    shipped = {path.split("/models/", 1)[1] for path in paths if path.startswith("published/")}
    assert shipped == {file.path for file in plan.shipped}
    assert {
        "bake/settings.json",
        "app/entrypoints/serve.py",
        *(f"requirements/{name}.txt" for name in package_locks(plan.spec, target)),
        "requirements/export.txt",
    } <= paths
    assert not [path for path in paths if path.endswith(".pyc")]


@pytest.mark.parametrize("title", ["Foley\nRUN curl evil", "syntax=evil/frontend", "escape=`", "a\r\x85\u2028RUN b"])
def test_a_title_writes_no_instruction_and_no_directive(title: str) -> None:
    """A comment at the top of a Dockerfile may be a parser directive (Dockerfile reference, "Parser directives")."""
    project, plan = plan_of("foley", "cpu")
    titled = replace(plan, spec=plan.spec.model_copy(update={"title": title}))
    for path in ("Dockerfile", "naive.Dockerfile"):
        texts = [rendered_text(each, project, path) for each in (plan, titled)]
        first, *others = (text.split("\n") for text in texts)
        assert not re.match(r"#\s*(syntax|escape|check)\s*=", others[0][0])
        labels = [[line for line in lines if "image.title" not in line][1:] for lines in (first, *others)]
        assert labels[0] == labels[1]


def rendered_text(plan: Plan, project: Project, path: str) -> str:
    (data,) = [file.data for file in render_context(plan, project.templates) if file.path == path]
    assert data is not None
    return data.decode()


def test_rendering_does_not_depend_on_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, plan = plan_of("foley", "cpu")
    here = render_context(plan, project.templates)
    monkeypatch.chdir(tmp_path)
    assert render_context(plan, project.templates) == here


def test_the_plan_names_every_file_and_layer_for_people() -> None:
    _, plan = plan_of("foley", "cpu")
    text = plan_text(plan, BuildOptions())
    assert all(file.path in text for file in plan.files)
    assert all(layer.name in text for layer in plan.layers)


def test_the_list_is_a_matrix_of_images_and_targets() -> None:
    specs = [read_spec(ROOT, name) for name in list_images(ROOT)]
    entries = [(entry["model"], entry["target"]) for entry in list_document(specs)]
    assert ("foley", "tensorrt") in entries
    assert ("minilm", "cpu") in entries
    assert len(entries) == len(set(entries))
