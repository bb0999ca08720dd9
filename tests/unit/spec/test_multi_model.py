"""An image of several models: every reason why they do not fit into one, at once and by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from prebake.errors import SpecInvalid
from prebake.spec.lock import Lock, LockedBase, parse_lock, render_lock
from prebake.spec.project import read_project
from tests.support.commands.projects import Project, clone
from tests.support.repository import ROOT

PAIR = (ROOT / "tests/unit/spec/cases/several/image.yaml").read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = clone(tmp_path / "project", "minilm", "zimage")
    write(project, "image.yaml", PAIR)
    requirements = (project.root / "images" / "minilm" / "requirements" / "cpu.txt").read_text()
    write(project, "requirements/cpu.txt", requirements)
    return project


def write(project: Project, path: str, text: str, image: str = "pair") -> None:
    place = project.root / "images" / image / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def faults(project: Project) -> list[str]:
    with pytest.raises(SpecInvalid) as refused:
        read_project(project.root, "pair")
    return [str(problem) for problem in refused.value.problems]


def test_its_models_are_read_with_their_own_locks(project: Project) -> None:
    read = read_project(project.root, "pair")
    assert list(read.models) == ["minilm", "zimage"]
    assert read.lock is None
    assert read.models["zimage"].lock is not None
    assert read.serve == ()


def test_every_misfit_is_told_at_once_with_its_line(project: Project) -> None:
    text = PAIR.replace("targets: [cpu]", "targets: [cpu, cuda]").replace("checkpoint: sample", "checkpoint: smaple")
    write(project, "image.yaml", text + "  minlm: {}\n  nested: {}\n")
    write(project, "image.yaml", PAIR.replace("name: pair", "name: nested"), "nested")
    lock = project.root / "images" / "zimage" / "weights.lock"
    locked = parse_lock(lock.read_text(), "images/zimage/weights.lock")
    other = LockedBase(locked.base.reference, "sha256:" + "e" * 64)
    lock.write_text(render_lock(Lock(other, locked.checkpoints)))
    packages = project.root / "images" / "pair" / "requirements" / "cpu.txt"
    packages.write_text(
        packages.read_text().replace("tokenizers==", "tokenizerz==").replace("ime==1.31.1", "ime==1.30.0")
    )
    found = faults(project)
    where = "images/pair/image.yaml"
    assert f"{where}:4 targets[1]: minilm has no target 'cuda' (it has: cpu)" in found
    assert any(line.startswith(f"{where}:4 targets[1]: torch serves zimage on 'cuda'") for line in found)
    assert f"{where}:7 models.zimage.checkpoint: zimage has no checkpoint 'smaple' (did you mean 'sample'?)" in found
    assert f"{where}:8 models.minlm: is not another image of the project (did you mean 'minilm'?)" in found
    assert f"{where}:9 models.nested: has models itself (list them here: minilm, zimage)" in found
    assert any(line.startswith(f"{where}:7 models.zimage: has the base python:3.11-slim") for line in found)
    assert any("ONNX Runtime 1.31.1, requirements/cpu.txt has 1.30.0" in line for line in found)
    assert any("lacks packages that the model needs: tokenizers" in line for line in found)
