"""Golden files: what is rendered for every image and target, to the letter. ``cases/README.md`` says how to add a case.

A case is rendered whole, or as its difference from another case. Both sides of a difference are rendered: if a line changes that
both have, only the whole files change.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import yaml

from prebake.plan.planner import make_plan
from prebake.plan.values import Options
from prebake.render.dockerfile import render_context
from prebake.render.kubernetes import Deployment, render_deployment
from prebake.spec.image.image import Target
from prebake.spec.project import read_project, read_spec
from prebake.spec.project_folder import list_images
from tests.support.repository import ROOT

CASES = ROOT / "tests/unit/render/cases"
NAMES = sorted(path.parent.name for path in CASES.glob("*/case.yaml"))
DIFFERENCE = "rendered.diff"


@dataclass(frozen=True)
class Case:
    """``compared_with``: the case that this one is written as a difference from; None if its files are there whole."""

    image: str
    target: Target
    checkpoint: str | None = None
    compared_with: str | None = None


def read_case(name: str) -> Case:
    return Case(**yaml.safe_load((CASES / name / "case.yaml").read_text(encoding="utf-8")))


@functools.cache
def rendered(name: str) -> dict[str, str]:
    """By name. The plan's keys are replaced: they follow from every byte of code, and each change would be a golden one."""
    case = read_case(name)
    project = read_project(ROOT, case.image)
    made = make_plan(project, Options(target=case.target, checkpoint=case.checkpoint))
    plan = replace(made, export_key="0" * 64, compile_key="1" * 64)
    files = {file.path: file.data for file in render_context(plan, project.templates)}
    assert ("naive.Dockerfile" in files) == (not plan.members)
    texts = {path: data.decode() for path in ("Dockerfile", "naive.Dockerfile") if (data := files.get(path))}
    image = f"registry.example.invalid/{case.image}@sha256:{'2' * 64}"
    deployment = Deployment(image, case.target, ready_seconds=12.3, weight_bytes=2 * 10**9)
    return {**texts, "kubernetes.yaml": render_deployment(plan.spec, deployment)}


def golden(name: str) -> dict[str, str]:
    """What the case's folder has to hold besides case.yaml."""
    other = read_case(name).compared_with
    return {DIFFERENCE: "".join(difference(other, name))} if other else rendered(name)


def difference(before: str, after: str) -> Iterator[str]:
    """As `diff --unified=1` prints it, file by file. A hunk names its stage or object instead of its line numbers, which a
    line added above would change."""
    for path in sorted({*rendered(before), *rendered(after)}):
        old, new = (rendered(name).get(path, "").splitlines(keepends=True) for name in (before, after))
        for line in difflib.unified_diff(old, new, f"{before}/{path}", f"{after}/{path}", n=1):
            hunk = re.match(r"@@ -(\d+)", line)
            yield f"@@ {section(old, int(hunk[1]))}\n" if hunk else line


def section(lines: list[str], number: int) -> str:
    """The last line above this one that begins a stage of a Dockerfile or an object of Kubernetes."""
    return next((line.strip() for line in reversed(lines[:number]) if line.startswith(("FROM ", "kind: "))), "the top")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_rendered_is_golden(name: str) -> None:
    folder, wanted = CASES / name, golden(name)
    if os.environ.get("PREBAKE_GOLDEN") == "write":
        for path in folder.iterdir():
            if path.name != "case.yaml":
                path.unlink()
        for file, text in wanted.items():
            (folder / file).write_text(text, encoding="utf-8")
    assert {path.name for path in folder.iterdir()} == {"case.yaml", *wanted}
    for file, text in wanted.items():
        assert text == (folder / file).read_text(encoding="utf-8"), f"{name}/{file} differs from what is rendered"


@pytest.mark.parametrize("name", NAMES)
def test_every_comparison_ends_at_a_whole_case(name: str) -> None:
    seen = [name]
    while other := read_case(seen[-1]).compared_with:
        assert other in NAMES
        assert other not in seen, "nothing holds the lines that these cases share"
        seen.append(other)


def test_every_image_and_target_is_a_case() -> None:
    cases = {(case.image, case.target) for case in map(read_case, NAMES)}
    matrix = {(name, target) for name in list_images(ROOT) for target in read_spec(ROOT, name).targets}
    assert matrix <= cases, f"add a folder to {CASES.relative_to(ROOT)} for {sorted(matrix - cases)}"
