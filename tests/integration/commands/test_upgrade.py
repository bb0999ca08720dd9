"""`prebake upgrade` as somebody at a terminal meets it: a project of the first version, built again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from prebake.errors import UpgradeRefused
from prebake.workflow.requests import UpgradeRequest
from prebake.workflow.upgrade import upgrade_project
from tests.support.disks import read_only
from tests.support.repository import ROOT

FILES = ROOT / "tests/unit/spec/upgrade/schema_1/images"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The images of the first version, their code being the present one's."""
    for folder in FILES.iterdir():
        code = ROOT / "images" / folder.name
        if code.is_dir():
            shutil.copytree(code, tmp_path / "images" / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(folder, tmp_path / "images" / folder.name, dirs_exist_ok=True)
    return tmp_path


def run(project: Path, *words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, ROOT / "build.py", *words],
        cwd=project,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    return ended


def contents(project: Path) -> dict[str, bytes]:
    return {str(path.relative_to(project)): path.read_bytes() for path in project.rglob("*") if path.is_file()}


def test_a_project_of_the_first_version_is_upgraded_once(project: Path) -> None:
    asked = run(project, "build", "minilm", "--plan", code=66).stderr
    assert "images/minilm/image.yaml:2 schema: has schema 1; this version of Prebake" in asked
    assert "next: run `prebake upgrade`" in asked
    before = contents(project)
    assert "images/zimage/weights.lock: has schema 1" in run(project, "upgrade", "--check", code=66).stderr
    assert contents(project) == before
    lines = run(project, "upgrade").stdout.splitlines()
    assert "images/foley/image.yaml: rewritten" in lines
    assert "  line 70: components.clap.outside: outside -> overflow" in lines
    after = contents(project)
    assert after.keys() == before.keys(), "a temporary file stays"
    assert {name for name in after if after[name] != before[name]} == {
        name for name in after if name.endswith(("image.yaml", "weights.lock"))
    }
    assert run(project, "upgrade", "--check").stdout == run(project, "upgrade").stdout
    assert contents(project) == after
    run(project, "build", "minilm", "--plan")
    run(project, "build", "duo", "--plan")


def test_one_image_is_upgraded_with_those_that_it_serves_together(project: Path) -> None:
    before = contents(project)
    run(project, "upgrade", "duo")
    after = contents(project)
    changed = {Path(name).parent.name for name in after if after[name] != before[name]}
    assert changed == {"duo", "minilm", "zimage"}
    run(project, "upgrade", "--model", "folye", code=11)


def test_a_lock_alone_that_has_an_earlier_schema_ends_a_build(project: Path) -> None:
    run(project, "upgrade", "minilm")
    shutil.copy(FILES / "minilm/weights.lock", project / "images/minilm/weights.lock")
    asked = run(project, "build", "minilm", "--plan", code=66).stderr
    assert "images/minilm/weights.lock: has schema 1" in asked


def test_no_file_is_touched_if_one_cannot_be_rewritten(project: Path) -> None:
    (project / "images/toy/image.yaml").write_text(
        "schema: 1\nname: toy\nname: toy\ncheckpoints: {a: {licence: {id: [}}\n"
    )
    (project / "images/relu/weights.lock").write_text("{")
    (project / "images/heygem/image.yaml").write_bytes(b"schema: 1\nname: \xff\n")
    before = contents(project)
    said = run(project, "upgrade", code=67).stderr
    assert "images/toy/image.yaml:4: is not YAML" in said
    assert "images/relu/weights.lock:1: is not JSON" in said
    assert "images/heygem/image.yaml:1: is not UTF-8" in said
    assert contents(project) == before


def test_a_failed_replacement_is_undone(project: Path) -> None:
    """The last file is a mount point, which no other file can replace."""
    before = contents(project)
    with read_only(project / "images/zimage/image.yaml"):
        run(project, "upgrade", code=1)
        assert contents(project) == before
    assert contents(project) == before


def test_a_read_only_folder_is_named_and_nothing_is_changed(project: Path) -> None:
    before = contents(project)
    with read_only(project / "images/zimage"):
        assert "images/zimage" in run(project, "upgrade", code=51).stderr
    assert contents(project) == before


def test_an_earlier_flag_or_variable_is_refused_with_the_present_one(project: Path) -> None:
    run(project, "upgrade")
    words = ("build", "foley", "--checkpoint", "xl", "--plan")
    said = run(project, *words, "--accept-licence", "MIT", code=2).stderr
    assert "did you mean --accept-license?" in said
    said = run(project, *words, "--accept-licence=MIT", code=2).stderr
    assert "did you mean --accept-license?" in said
    said = run(project, *words, code=2, PREBAKE_ACCEPT_LICENCE="MIT").stderr
    assert "did you mean PREBAKE_ACCEPT_LICENSE?" in said
    said = run(project, "init", "x", "--from", "y", "--licence", "MIT", code=2).stderr
    assert "did you mean --license?" in said


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """An image of the first version with a lock, outside of which nothing may change."""
    shutil.copytree(FILES / "minilm", tmp_path / "project/images/minilm")
    return tmp_path / "project"


def refusal(project: Path) -> str:
    before = contents(project.parent)
    with pytest.raises(UpgradeRefused) as refused:
        upgrade_project(UpgradeRequest(project))
    assert contents(project.parent) == before
    return str(refused.value)


def test_a_planted_link_with_the_name_of_a_temporary_file_is_not_followed(small: Path) -> None:
    victim = small.parent / "victim"
    victim.write_text("mine")
    for name in (".image.yaml.upgrade", ".prebake-new-1"):
        (small / "images/minilm" / name).symlink_to(victim)
    upgrade_project(UpgradeRequest(small))
    assert victim.read_text() == "mine"


def test_a_linked_file_stays_a_link_and_owner_and_mode_stay(small: Path) -> None:
    link, target = small / "images/minilm/image.yaml", small.parent / "shared.yaml"
    link.rename(target)
    link.symlink_to(target)
    target.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(target, 1234, 2345)
    before = target.stat()
    upgrade_project(UpgradeRequest(small))
    assert link.is_symlink()
    assert "schema: 2" in target.read_text()
    after = target.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


def test_several_upgrades_at_once_all_succeed(small: Path) -> None:
    command = [sys.executable, str(ROOT / "build.py"), "upgrade"]
    running = [subprocess.Popen(command, cwd=small, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sorted("rewritten" in text for text in said) == [False, False, True]


def test_an_upgrade_finishes_and_cleans_what_a_killed_one_left(small: Path) -> None:
    folder = small / "images/minilm"
    upgrade_project(UpgradeRequest(small))
    whole = contents(small)
    shutil.copy(FILES / "minilm/weights.lock", folder)
    (folder / ".prebake-new-killed").write_text("half")
    assert upgrade_project(UpgradeRequest(small)).startswith("images/minilm/weights.lock: rewritten")
    assert contents(small) == whole
    (folder / ".prebake-new-killed").write_text("half")
    upgrade_project(UpgradeRequest(small))
    assert contents(small) == whole


def test_names_of_models_that_leave_the_project_or_are_unknown_are_problems(small: Path) -> None:
    elsewhere = small.parent / "elsewhere"
    shutil.copytree(FILES / "minilm", elsewhere)
    (small / "images/both").mkdir()
    names = ("../../elsewhere", elsewhere, "minilm", "minilmm")
    text = "".join(f"  {name}: {{}}\n" for name in names)
    (small / "images/both/image.yaml").write_text(f"schema: 1\nname: both\nmodels:\n{text}")
    said = refusal(small)
    assert "images/both/image.yaml:4 models.../../elsewhere: '../../elsewhere' is not a valid image name" in said
    assert f"'{elsewhere}' is not a valid image name" in said
    assert "images/both/image.yaml:7 models.minilmm: no image has the name 'minilmm' (did you mean 'minilm'?)" in said


def test_what_is_no_file_is_a_problem(small: Path) -> None:
    images = small / "images"
    for name in ("dangling", "looping", "folder"):
        (images / name).mkdir()
    (images / "dangling/image.yaml").symlink_to("nothing")
    (images / "looping/image.yaml").symlink_to("image.yaml")
    (images / "folder/image.yaml").mkdir()
    said = refusal(small)
    for name in ("dangling", "looping"):
        assert f"images/{name}/image.yaml: is a link to a file that does not exist, or to itself" in said
    assert "images/folder/image.yaml: is a folder, not a file" in said
    assert "images/folder/image.yaml: is a folder" in run(small, "build", "folder", "--plan", code=12).stderr


def test_a_project_without_images_says_so(tmp_path: Path) -> None:
    assert f"{tmp_path} has no images/*/image.yaml" in upgrade_project(UpgradeRequest(tmp_path))
