"""Bytes on their way: cut, changed, disputed, or not what their digest says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from prebake.errors import ChecksumMismatch
from prebake.oci.blobs.blobs import EMPTY, Blob, data_blob, sha256_digest
from prebake.oci.blobs.content import BytesContent, FileChanged, FileContent
from prebake.oci.errors import DigestDisputed
from prebake.oci.registry.push import push_image
from prebake.oci.transfer.download import RemoteContent
from tests.support.registries.oci_images import image_of
from tests.support.registries.pushes import CHUNKS, DATA, Opened, check_forgotten, check_there, layer
from tests.support.registry_servers.front import Fault, Front
from tests.support.registry_servers.killable import KillableRegistry


def test_a_blob_cut_while_it_is_read_is_gone_on_with(front: Front, path: str, opened: Opened) -> None:
    repository, blob = opened(front.address, path), data_blob(EMPTY, DATA)
    repository.push(blob)
    front.faults += [Fault("GET", blob.digest, truncate=1_000_000), Fault("GET", blob.digest, truncate=500_000)]
    check_there(repository, blob)
    ranges = [seen.headers.get("range") for seen in front.requests("GET", blob.digest)]
    assert ranges == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_blob_is_read_from_an_offset_on(front: Front, path: str, opened: Opened) -> None:
    repository, blob = opened(front.address, path), data_blob(EMPTY, DATA)
    repository.push(blob)
    front.faults.append(Fault("GET", blob.digest, truncate=1000))
    assert b"".join(repository.open_blob(blob.digest, blob.size, 12345)) == DATA[12345:]
    assert list(repository.open_blob(blob.digest, blob.size, blob.size)) == []


def test_other_bytes_than_asked_for_are_refused(front: Front, path: str, opened: Opened) -> None:
    repository, image = opened(front.address, path), image_of(layer(1))
    push_image(repository, image, "v1")
    held = image.layers[0]
    front.faults += [Fault("GET", held.digest, corrupt=True), Fault("GET", "manifests", corrupt=True)]
    with pytest.raises(ChecksumMismatch, match=held.digest):
        check_there(repository, held)
    with pytest.raises(ChecksumMismatch, match=image.digest):
        repository.get_manifest(image.digest)
    with pytest.raises(ChecksumMismatch, match="more than 5 bytes"):
        list(repository.open_blob(held.digest, 5))


def test_a_blob_goes_from_one_repository_to_another(front: Front, path: str, opened: Opened) -> None:
    origin, target, blob = opened(front.address, path), opened(front.address, f"{path}-2"), data_blob(EMPTY, DATA)
    origin.push(blob)
    front.faults.append(Fault("GET", blob.digest, truncate=1_000_000))
    assert target.push(Blob(blob.descriptor, RemoteContent(origin, blob.descriptor))).bytes == len(DATA)
    check_there(target, blob)


@pytest.mark.parametrize("upload", ["", CHUNKS], ids=["whole", "in chunks"])
def test_bytes_changed_on_their_way_are_sent_once_more(front: Front, path: str, opened: Opened, upload: str) -> None:
    front.faults.append(Fault("PATCH" if upload else "PUT", corrupt=True))
    repository, blob = opened(front.address, path, upload=upload), data_blob(EMPTY, DATA)
    assert repository.push(blob).bytes == 2 * len(DATA)
    check_there(repository, blob)


def test_a_registry_that_disputes_a_digest_twice_is_named(front: Front, path: str, opened: Opened) -> None:
    front.faults.append(Fault("PUT", corrupt=True, times=100))
    blob = data_blob(EMPTY, DATA)
    with pytest.raises(DigestDisputed, match=blob.digest) as caught:
        opened(front.address, path).push(blob)
    assert caught.value.exit_code == 63


@pytest.mark.parametrize("other", [DATA[:-1] + b"!", DATA[:-1], DATA + b"!"], ids=["other", "shorter", "longer"])
@pytest.mark.parametrize("upload", ["", CHUNKS], ids=["whole", "in chunks"])
def test_a_content_that_is_not_its_digest_is_not_stored(
    front: Front, path: str, opened: Opened, other: bytes, upload: str
) -> None:
    @dataclass(frozen=True)
    class Claiming:
        size: int = len(DATA)

        def chunks(self, offset: int = 0) -> Iterator[memoryview]:
            return BytesContent(other).chunks(offset)

    repository, blob = opened(front.address, path, upload=upload), replace(data_blob(EMPTY, DATA), content=Claiming())
    with pytest.raises(ChecksumMismatch, match=blob.digest):
        repository.push(blob)
    assert not repository.has(blob.digest)
    assert not repository.has(sha256_digest(other))
    assert len(front.requests("DELETE")) == 1, "the upload is cancelled"


def test_a_content_of_another_size_is_not_even_sent(front: Front, path: str, opened: Opened) -> None:
    with pytest.raises(ChecksumMismatch, match="3 bytes"):
        opened(front.address, path).push(replace(data_blob(EMPTY, DATA), content=BytesContent(b"abc")))
    assert front.requests("POST") == []


@pytest.mark.parametrize("upload", ["", CHUNKS], ids=["whole", "in chunks"])
def test_a_file_written_to_while_it_is_read_is_not_stored(
    standing: KillableRegistry, tmp_path: Path, path: str, opened: Opened, upload: str
) -> None:
    file = tmp_path / "weights"
    file.write_bytes(DATA)
    held = FileContent.of(file)

    @dataclass(frozen=True)
    class Written:
        size: int = len(DATA)

        def chunks(self, offset: int = 0) -> Iterator[memoryview]:
            for chunk in held.chunks(offset):
                yield chunk
                os.utime(file, ns=(0, 0))

    repository, blob = opened(standing.address, path, upload=upload), replace(data_blob(EMPTY, DATA), content=Written())
    with pytest.raises(FileChanged, match="written to"):
        repository.push(blob)
    assert not repository.has(blob.digest)
    if upload:  # Debian's registry forgets no upload whose request was cut; it purges them later
        check_forgotten(standing, path)
