"""System packages in the plan and in what is rendered: by sha256, below every stage, and in the keys of what stands on them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prebake.errors import LockMismatch
from prebake.plan.planner import make_plan
from prebake.plan.values import Options, Plan
from prebake.render.dockerfile import render_context
from prebake.spec.image.system_packages import LockedPackage, LockedSystem
from prebake.spec.project import Project, read_project
from tests.support.repository import ROOT

GOMP = LockedPackage("libgomp1", "12.2.0-14", "pool/main/g/gcc-12/libgomp1.deb", 7, "a" * 64, "http://archive.invalid")


def with_system(package: LockedPackage) -> Project:
    project = read_project(ROOT, "minilm")
    assert project.lock
    locked = LockedSystem((package.name,), ("http://archive.invalid",), {"amd64": (package,)})
    spec = project.spec.model_copy(update={"system_packages": (package.name,)})
    return replace(project, spec=spec, lock=replace(project.lock, system=locked))


def planned(project: Project) -> Plan:
    return make_plan(project, Options())


def test_every_stage_stands_on_them_and_the_image_has_them() -> None:
    project = with_system(GOMP)
    files = {file.path: file for file in render_context(planned(project), project.templates)}
    assert files["system/packages/amd64/libgomp1_12.2.0-14.deb"].sha256 == GOMP.sha256
    assert files["system/unpack.py"].data
    text = (files["Dockerfile"].data or b"").decode()
    for line in (
        "FROM base AS system",
        "FROM system AS tools",
        "FROM tools AS packages\nCOPY --from=system /tree/ /tree/",
    ):
        assert line in text
    assert "--system libgomp1" in text
    assert "COPY --link --from=system /tree/ /" in (files["naive.Dockerfile"].data or b"").decode()


def test_their_content_is_in_the_key_of_all_that_stands_on_them() -> None:
    plain, one = planned(read_project(ROOT, "minilm")), planned(with_system(GOMP))
    other = planned(with_system(replace(GOMP, sha256="b" * 64)))
    keys = [(plan.layers[0].key, plan.export_packages, plan.compile_key) for plan in (plain, one, other)]
    assert [len(set(each)) for each in zip(*keys, strict=True)] == [3, 3, 3]
    moved = planned(with_system(replace(GOMP, archive="http://elsewhere.invalid")))
    assert moved.layers[0].key == one.layers[0].key


def test_a_lock_that_pins_others_than_image_yaml_names_is_refused() -> None:
    project = with_system(GOMP)
    spec = project.spec.model_copy(update={"system_packages": ("libgl1",)})
    with pytest.raises(LockMismatch, match=r"system: pins libgomp1, image\.yaml lists libgl1"):
        planned(replace(project, spec=spec))


def test_a_package_that_needs_a_folder_for_its_cache_gets_one() -> None:
    project = read_project(ROOT, "minilm")
    lock = f"{project.requirements['cpu']}numba==0.63.1 --hash=sha256:{'0' * 64}\n"
    changed = replace(project, requirements={**project.requirements, "cpu": lock})
    texts = [
        next(
            (file.data or b"").decode()
            for file in render_context(planned(each), each.templates)
            if file.path == "Dockerfile"
        )
        for each in (project, changed)
    ]
    assert ["NUMBA_CACHE_DIR=/dev/shm/numba" in text for text in texts] == [False, True]
