"""What was compiled for machines, in a rendered folder: layers of their own, told after the compile stage."""

from __future__ import annotations

from prebake.documents.artifact import ArtifactFile
from prebake.plan.artifact_layers import artifact_trees, with_artifacts
from prebake.plan.planner import make_plan
from prebake.plan.values import Options
from prebake.render.dockerfile import render_context
from prebake.spec.project import read_project
from tests.support.plans import artifact
from tests.support.repository import ROOT


def test_each_is_a_layer_after_weights_and_before_graphs_and_is_described() -> None:
    project = read_project(ROOT, "minilm")
    found = [artifact("a", 1, component="minilm"), artifact("b", 2, component="minilm")]
    plan = with_artifacts(make_plan(project, Options()), {"minilm": found})
    rendered = {file.path: file for file in render_context(plan, project.templates)}
    dockerfile = (rendered["Dockerfile"].data or b"").decode()
    trees = [tree.folder for tree in artifact_trees(plan)]
    copied = [line.split()[-2] for line in dockerfile.partition(" AS image")[2].splitlines() if line.startswith("COPY")]
    assert copied[-4:] == [f"{trees[0]}/", f"{trees[1]}/", "/tree/", "/tree/"]
    assert copied[0].startswith("published/")
    described = [file.data or b"" for path, file in rendered.items() if path.startswith("artifacts/")]
    assert [ArtifactFile.from_json(data).key for data in described] == [each.key for each in plan.artifacts]
    held = {path: file.sha256 for path, file in rendered.items() if path.startswith("compiled/")}
    assert len(held) == 4
    for tree in artifact_trees(plan):
        assert {f"{tree.folder}/models/{file.path}": file.sha256 for file in tree.files}.items() <= held.items()
        assert (
            f"models/{tree.files[0].path.rpartition('/')[0]}" in dockerfile
        )  # the graphs' layer has the folders' modes
    assert (
        dockerfile.index("prebake.bake compile")
        < dockerfile.index("prebake.bake add-artifacts")
        < dockerfile.index(" AS image")
    )


def test_without_any_nothing_of_them_is_rendered() -> None:
    project = read_project(ROOT, "minilm")
    rendered = render_context(make_plan(project, Options()), project.templates)
    assert not [file.path for file in rendered if file.path.startswith(("artifacts/", "compiled/"))]
    assert b"prebake.bake add-artifacts" not in next(file.data or b"" for file in rendered if file.path == "Dockerfile")
