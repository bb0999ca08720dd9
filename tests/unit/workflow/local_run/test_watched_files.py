"""Changed files: which of them start a model or the container again, and which take a build."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prebake.spec.project import read_project
from prebake.workflow.local_run.unlisted_imports import find_unlisted_imports
from prebake.workflow.local_run.watch import find_unreadable, mount_code
from prebake.workflow.local_run.watched_files import Changes, WatchedFiles, WatchedModel, Watcher, find_watched
from tests.support.repository import ROOT

SERVED = "images/x/model.py"


@pytest.fixture
def files(tmp_path: Path) -> WatchedFiles:
    for name in (
        *(
            f"images/x/{name}"
            for name in ("model.py", "parts/a.py", "export.py", "image.yaml", "weights.lock", "README.md")
        ),
        *("images/x/requirements/cpu.txt", "images/x/draft.py", "images/x/__pycache__/model.cpython-311.pyc"),
        *("entrypoints/serve.py", "weights/w.safetensors"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    baked = ("image.yaml", "weights.lock", "requirements/*.txt", "export.py", "model.py")
    weights = (tmp_path / "weights/w.safetensors",)
    model = WatchedModel("x", tmp_path / "images/x", ("model.py", "parts/*.py"), baked, weights)
    return WatchedFiles(tmp_path, (model,), tmp_path / "entrypoints")


def changes_after(files: WatchedFiles, *names: str) -> Changes:
    watcher = Watcher(files)
    for name in names:
        (files.root / name).write_text("changed")
    return watcher.find_changes()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (SERVED, Changes(models={"x": (SERVED,)})),  # although export.py reads it, too
        ("images/x/parts/a.py", Changes(models={"x": ("images/x/parts/a.py",)})),
        ("images/x/parts/new.py", Changes(models={"x": ("images/x/parts/new.py",)})),
        ("entrypoints/serve.py", Changes(container=("entrypoints/serve.py",))),
        ("images/x/export.py", Changes(build=("images/x/export.py",))),
        ("images/x/image.yaml", Changes(build=("images/x/image.yaml",))),
        ("images/x/weights.lock", Changes(build=("images/x/weights.lock",))),
        ("images/x/requirements/cpu.txt", Changes(build=("images/x/requirements/cpu.txt",))),
        ("weights/w.safetensors", Changes(build=("weights/w.safetensors",))),
        ("images/x/draft.py", Changes(unlisted=("images/x/draft.py",))),
        ("images/x/README.md", Changes()),
        ("images/x/.model.py.swp", Changes()),
        ("images/x/__pycache__/model.cpython-311.pyc", Changes()),
    ],
)
def test_what_follows_from_a_changed_file(files: WatchedFiles, name: str, found: Changes) -> None:
    assert changes_after(files, name) == found


def test_files_that_change_together_are_one_change(files: WatchedFiles) -> None:
    found = changes_after(files, SERVED, "images/x/parts/a.py", "images/x/export.py")
    assert found == Changes(models={"x": (SERVED, "images/x/parts/a.py")}, build=("images/x/export.py",))


def test_a_change_is_found_once(files: WatchedFiles) -> None:
    watcher = Watcher(files)
    assert not watcher.find_changes()
    (files.root / SERVED).write_text("changed")
    assert watcher.find_changes()
    assert not watcher.find_changes()


def test_an_editor_that_renames_a_file_of_the_same_time_and_size_changes_it(files: WatchedFiles) -> None:
    watcher, path = Watcher(files), files.root / SERVED
    new = path.with_name(".new")
    new.write_text(SERVED[::-1])
    os.utime(new, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    new.replace(path)
    assert watcher.find_changes().models == {"x": (SERVED,)}


def test_a_removed_file_is_a_change_of_its_model(files: WatchedFiles) -> None:
    watcher = Watcher(files)
    (files.root / "images/x/parts/a.py").unlink()
    assert watcher.find_changes().models == {"x": ("images/x/parts/a.py",)}


def test_folders_are_mounted_over_those_of_the_image(files: WatchedFiles) -> None:
    binds = {bind.target: (bind.source, bind.read_only) for bind in mount_code(files)}
    assert binds == {
        "/app/images/x": (files.root / "images/x", True),
        "/app/entrypoints": (files.root / "entrypoints", True),
    }


def test_files_that_the_containers_user_cannot_read_are_named(files: WatchedFiles) -> None:
    assert list(find_unreadable(files)) == []
    (files.root / SERVED).chmod(0o600)
    assert list(find_unreadable(files)) == [files.root / SERVED]


@pytest.mark.parametrize("name", ["foley", "minilm", "heygem", "zimage"])
def test_the_images_of_this_project_list_all_code_that_they_import(name: str) -> None:
    watched = find_watched(read_project(ROOT, name, locked=False), "cpu", None)
    served = watched.served()
    assert ROOT / f"images/{name}/model.py" in served
    assert find_unlisted_imports(ROOT, served) == []


def test_an_image_of_several_models_watches_the_code_of_each() -> None:
    watched = find_watched(read_project(ROOT, "duo", locked=False), "cpu", None)
    models = read_project(ROOT, "duo", locked=False).models
    assert len(models) > 1
    assert set(watched.served().values()) == set(models)
    assert ROOT / "images/duo/image.yaml" in watched.baked()


def test_an_import_that_no_field_lists_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "images/x"
    folder.mkdir(parents=True)
    for name in ("a", "b", "c", "listed"):
        (folder / f"{name}.py").touch()
    text = "import numpy\nimport images.x.a\nfrom images.x.b import f\ndef g():\n    from images.x import c, listed\n"
    (folder / "model.py").write_text(text)
    (folder / "broken.py").write_text("this is no python")
    served = [folder / "model.py", folder / "listed.py", folder / "broken.py"]
    assert [path.name for path in find_unlisted_imports(tmp_path, served)] == ["a.py", "b.py", "c.py"]
