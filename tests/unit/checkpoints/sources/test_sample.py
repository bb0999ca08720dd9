"""Samples as sources: written from a seed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.sources.sample import Sample
from prebake.checkpoints.store.store import Store
from prebake.errors import ChecksumMismatch, PrebakeError, SourceError
from prebake.spec.image.sources import FromSample
from tests.support.checkpoints.fetched import lock
from tests.support.checkpoints.parts import Diary, named

SAMPLE = """
from pathlib import Path
from random import Random
from images.tiny.sizes import SIZE

def write(folder: Path, seed: int) -> None:
    print("this is narration")
    (folder / "clap").mkdir()
    (folder / "clap" / "model.safetensors").write_bytes(Random(seed).randbytes(SIZE))
"""


def write_image(root: Path, script: str = SAMPLE, size: int = 1000) -> Sample:
    folder = root / "images" / "tiny"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sample.py").write_text(script)
    (folder / "sizes.py").write_text(f"SIZE = {size}\n")
    return Sample(root, "tiny")


def sample_spec(seed: int = 1, *files: str) -> FromSample:
    return named(FromSample, "sample", seed=seed, files=files or ("clap/model.safetensors",))


def test_a_sample_is_written_from_its_seed(store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = {name for name in sys.modules if name.startswith("images.")}
    (one,) = lock(store, write_image(tmp_path), sample_spec(1)).files
    (two,) = lock(store, write_image(tmp_path), sample_spec(2)).files
    assert (one.source, one.revision, one.size) == ("sample", "1", 1000)
    assert one.sha256 != two.sha256
    fetch([one], Store(tmp_path / "other"), {"sample": Sample(tmp_path, "tiny")}, Diary())
    assert capfd.readouterr().out == ""
    assert str(tmp_path) not in sys.path
    assert {name for name in sys.modules if name.startswith("images.")} == before


SIZED = """
from pathlib import Path
from random import Random

def write(folder: Path, seed: int, size: int | None = None) -> None:
    (folder / "clap").mkdir()
    (folder / "clap" / "model.safetensors").write_bytes(Random(seed).randbytes(size or 10))
"""


def test_a_sample_of_a_size_is_another_one(store: Store, tmp_path: Path) -> None:
    source, spec = write_image(tmp_path, SIZED), sample_spec(1)
    (own,) = lock(store, source, spec).files
    (large,) = lock(store, source, spec.model_copy(update={"size": 5000})).files
    assert (own.size, large.size) == (10, 5000)
    assert own.revision == "1"
    assert large.revision not in (own.revision, sample_spec(5000).revision)
    fetch([large], Store(tmp_path / "other"), {"sample": source}, Diary())


def test_a_sample_that_has_one_size_says_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="takes 2 positional arguments but 3 were given") as caught:
        lock(store, write_image(tmp_path), sample_spec().model_copy(update={"size": 5000}))
    assert "write(folder, seed, size)" in caught.value.next_action


def test_two_projects_in_one_process_do_not_mix(store: Store, tmp_path: Path) -> None:
    (one,) = lock(store, write_image(tmp_path / "one", size=10), sample_spec()).files
    (two,) = lock(store, write_image(tmp_path / "two", size=20), sample_spec()).files
    assert (one.size, two.size) == (10, 20)


def test_a_sample_that_differs_from_its_lock(store: Store, tmp_path: Path) -> None:
    held = lock(store, write_image(tmp_path), sample_spec())
    changed = write_image(tmp_path, SAMPLE.replace("Random(seed)", "Random(seed + 1)"))
    with pytest.raises(ChecksumMismatch, match=r"images/tiny/sample.py wrote it from seed 1"):
        fetch(held.files, Store(tmp_path / "other"), {"sample": changed}, Diary())


@pytest.mark.parametrize(
    ("script", "says", "next_action"),
    [
        ("import torch_that_is_not_here", "needs the package 'torch_that_is_not_here'", "pip install torch_that"),
        ("def write(folder, seed):\n    raise ValueError('odd seed')", "failed: ValueError: odd seed", "sample.py"),
        ("def write(folder, seed): ...", "did not write clap/model.safetensors", "write()"),
        ("x = 1", "has no attribute 'write'", "sample.py"),
        (
            "import prebake." + "checkpoints.growth",
            "imports a name that this version of Prebake does not have",
            "CHANGELOG.md",
        ),
        (
            "from prebake.checkpoints.sample_scaling import least",
            "imports a name that this version of Prebake does not have",
            "CHANGELOG.md",
        ),
    ],
)
def test_a_sample_that_does_not_work(store: Store, tmp_path: Path, script: str, says: str, next_action: str) -> None:
    with pytest.raises(SourceError) as caught:
        lock(store, write_image(tmp_path, script), sample_spec())
    assert says in str(caught.value)
    assert next_action in caught.value.next_action


def test_missing_packages_are_installed_from_the_image_s_own_list(store: Store, tmp_path: Path) -> None:
    sample = write_image(tmp_path, "import torch_that_is_not_here")
    (tmp_path / "images" / "tiny" / "requirements").mkdir()
    (tmp_path / "images" / "tiny" / "requirements" / "export.txt").touch()
    with pytest.raises(PrebakeError) as caught:
        lock(store, sample, sample_spec())
    assert "-m pip install -r images/tiny/requirements/export.txt" in caught.value.next_action
