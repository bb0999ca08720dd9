"""Buckets as a source, against moto's S3 on loopback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.resolve import resolve
from prebake.checkpoints.store.store import Store
from prebake.errors import ChecksumMismatch, SourceError
from prebake.plan.lock_check import expect_files
from prebake.spec.image.image import Checkpoint, License
from prebake.spec.image.sources import FromS3
from prebake.spec.lock import LockedCheckpoint
from tests.support.checkpoint_servers.s3server import ENVIRONMENT, S3Server, serve_s3, source
from tests.support.checkpoints.parts import Diary, named, sha256, some_bytes
from tests.support.registry_servers.front import Fault

WEIGHTS = some_bytes(2_500_000)
CONFIG = b'{"hidden_size": 4}\n'


@pytest.fixture(scope="module")
def served_s3() -> Iterator[S3Server]:
    with serve_s3() as server:
        yield server


@pytest.fixture
def s3(served_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://{served_s3.front.address}"}.items():
        monkeypatch.setenv(name, value)
    served_s3.front.seen.clear()
    served_s3.front.faults.clear()
    served_s3.put("model.safetensors", WEIGHTS)
    served_s3.put("config.json", CONFIG)
    return served_s3


def checkpoint(url: str, *files: str) -> Checkpoint:
    names = files or ("model.safetensors", "config.json")
    spec = named(FromS3, "s3", url=url, files=names, ship=names[:1], to="clap")
    return Checkpoint(license=License(id="MIT"), sources=(spec,))


def lock(s3: S3Server, store: Store) -> LockedCheckpoint:
    return resolve(checkpoint(s3.url), store, {"s3": source()}, Diary())


def bring(locked: LockedCheckpoint, store: Store) -> Diary:
    diary = Diary()
    fetch(locked.files, store, {"s3": source()}, diary)
    return diary


def test_the_objects_under_a_prefix_are_listed(s3: S3Server) -> None:
    s3.put("unet/config.json", CONFIG)
    listed = source().names(named(FromS3, "s3", url=s3.url, files=("any",)))
    assert {"model.safetensors", "config.json", "unet/config.json"} <= set(listed)
    assert all(not name.startswith(("/", "s3:")) for name in listed)
    bucket = s3.url.removeprefix("s3://").partition("/")[0]
    with pytest.raises(SourceError, match="nowhere"):
        source().names(named(FromS3, "s3", url=f"s3://nowhere-{bucket}", files=("any",)))


def test_an_object_is_pinned_by_sha256_and_etag(s3: S3Server, store: Store, tmp_path: Path) -> None:
    etag = s3.put("model.safetensors", WEIGHTS)["ETag"].strip('"')
    config, weights = lock(s3, store).files
    assert (weights.path, weights.source, weights.locator) == (
        "clap/model.safetensors",
        f"s3:{s3.url}",
        weights.locator,
    )
    assert (weights.revision, weights.locator, weights.ship) == (f"etag:{etag}", "model.safetensors", True)
    assert (weights.size, weights.sha256) == (len(WEIGHTS), sha256(WEIGHTS))
    assert (config.size, config.sha256, config.ship) == (len(CONFIG), sha256(CONFIG), False)
    expected = expect_files(checkpoint(s3.url))["clap/model.safetensors"]
    assert (expected.source, expected.locator) == (weights.source, weights.locator)
    other = Store(tmp_path / "other")
    bring(lock(s3, store), other)
    assert other.place(weights.sha256).read_bytes() == WEIGHTS


def test_it_comes_in_pieces(s3: S3Server, store: Store) -> None:
    lock(s3, store)
    assert s3.ranges("model.safetensors") == ["bytes=0-999999", "bytes=1000000-1999999", "bytes=2000000-2499999"]


def test_a_version_is_what_is_read_when_there_is_a_newer_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with serve_s3() as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{s3.front.address}")
        s3.keep_versions()
        version = s3.put("model.safetensors", WEIGHTS)["VersionId"]
        s3.put("config.json", CONFIG)
        locked = lock(s3, store)
        assert locked.files[1].revision == f"version:{version}"
        s3.put("model.safetensors", some_bytes(7))
        other = Store(tmp_path / "other")
        bring(locked, other)
        assert other.place(sha256(WEIGHTS)).read_bytes() == WEIGHTS
        s3.client.delete_object(Bucket=s3.name, Key="models/model.safetensors", VersionId=version)
        with pytest.raises(SourceError, match="no longer exists"):
            bring(locked, Store(tmp_path / "third"))


@pytest.mark.parametrize("data", [some_bytes(len(WEIGHTS), seed=9), WEIGHTS[:-1]])
def test_an_object_that_was_replaced_is_refused(s3: S3Server, store: Store, tmp_path: Path, data: bytes) -> None:
    locked = lock(s3, store)
    s3.put("model.safetensors", data)
    other = Store(tmp_path / "other")
    with pytest.raises(ChecksumMismatch, match=r"clap/model.safetensors"):
        bring(locked, other)
    assert other.get(sha256(WEIGHTS)) is None
    assert not other.partial_path(sha256(WEIGHTS)).exists()


def test_the_same_bytes_under_another_etag_will_do(s3: S3Server, store: Store, tmp_path: Path) -> None:
    locked = lock(s3, store)
    begun = s3.client.create_multipart_upload(Bucket=s3.name, Key="models/model.safetensors")
    where = {"Bucket": s3.name, "Key": "models/model.safetensors", "UploadId": begun["UploadId"]}
    part = s3.client.upload_part(**where, PartNumber=1, Body=WEIGHTS)
    s3.client.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    other = Store(tmp_path / "other")
    diary = bring(locked, other)
    assert any("was written again" in text for _, text in diary.notes)
    assert other.get(sha256(WEIGHTS)) is not None


def test_every_object_that_is_missing_is_named(s3: S3Server, store: Store) -> None:
    with pytest.raises(SourceError, match=rf"There is no object {s3.url}/nothing, {s3.url}/neither"):
        resolve(checkpoint(s3.url, "nothing", "config.json", "neither"), store, {"s3": source()}, Diary())


def test_no_such_bucket(s3: S3Server, store: Store) -> None:
    with pytest.raises(SourceError, match=r"There is no object s3://nowhere-at-all/x/config.json"):
        resolve(checkpoint("s3://nowhere-at-all/x/", "config.json"), store, {"s3": source()}, Diary())


def test_who_may_not_read_is_told_which_credentials_count(s3: S3Server, store: Store) -> None:
    s3.front.faults.append(Fault("HEAD", status=403))
    with pytest.raises(SourceError, match="the store refuses access") as caught:
        lock(s3, store)
    assert "AWS_PROFILE" in caught.value.next_action
    assert len(s3.front.seen) == 1


def test_without_credentials(s3: S3Server, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(SourceError, match="the store refuses access") as caught:
        lock(s3, store)
    assert "FSSPEC_S3_ANON=true" in caught.value.next_action


WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
from pathlib import Path
from prebake.checkpoints.sources.kinds import open_sources
from prebake.errors import SourceError
from prebake.spec.image.sources import FromGs, FromS3
kind = {"s3fs": FromS3, "gcsfs": FromGs}[sys.argv[1]]
word = {"s3fs": "s3", "gcsfs": "gs"}[sys.argv[1]]
try:
    open_sources(Path("."), "x")[word].resolve(kind.model_validate({"from": word, "url": f"{word}://b", "files": ("a",)}))
except SourceError as error:
    print(error.message, error.next_action)
"""


@pytest.mark.parametrize(("package", "word"), [("s3fs", "s3"), ("gcsfs", "gs")])
def test_a_library_that_is_not_installed_is_named(package: str, word: str) -> None:
    words = [sys.executable, "-c", WITHOUT, package]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert f"`from: {word}` needs the package {package}" in said
    assert f"pip install {package}" in said


def test_opening_the_sources_loads_no_cloud_s_library() -> None:
    code = (
        "import sys; from pathlib import Path; from prebake.checkpoints.sources.kinds import open_sources;"
        "open_sources(Path('.'), 'x'); print([name for name in ('fsspec', 's3fs', 'gcsfs') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
