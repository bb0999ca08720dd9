"""The registry on loopback, as a client of the distribution specification sees it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from prebake.errors import ChecksumMismatch
from prebake.oci.blobs.blobs import Blob, Image, read_all, sha256_digest
from prebake.oci.blobs.content import BytesContent, FileChanged
from prebake.oci.registry.loopback import ServedImage, serve_image
from tests.support.registries.oci_images import file_layer, image_of, tar_layer, without_content

ABSENT = without_content(tar_layer({"absent": b"absent"}))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(20 << 20))
    return path


@pytest.fixture
def image(weights: Path) -> Image:
    return image_of(file_layer(weights, "models/weights"), tar_layer({"app/code": b"code"}), ABSENT)


@pytest.fixture
def served(image: Image) -> Iterator[ServedImage]:
    with serve_image(image, name="prebake/toy", tag="one") as served:
        yield served


@pytest.fixture
def client(served: ServedImage) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{served.address}/v2/", trust_env=False) as client:
        yield client


def blob_path(blob: Blob) -> str:
    return f"prebake/toy/blobs/{blob.digest}"


def test_it_is_a_registry_on_loopback_that_ends_with_its_block(image: Image) -> None:
    with serve_image(image, name="prebake/toy", tag="one") as served:
        host, _, port = served.address.partition(":")
        assert host == "127.0.0.1"
        assert served.reference == f"{served.address}/prebake/toy:one"
        with socket.create_connection((host, int(port))) as idle:
            assert httpx.get(f"http://{served.address}/v2/", trust_env=False).status_code == 200
            idle.sendall(b"GET /v2/ HT")
            open_connection = idle.dup()
    with open_connection:
        assert open_connection.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_the_manifest_is_there_by_tag_and_by_digest(client: httpx.Client, image: Image, by: str) -> None:
    path = f"prebake/toy/manifests/{'one' if by == 'tag' else image.digest}"
    got, head = client.get(path), client.head(path)
    assert got.content == read_all(image.manifest)
    assert head.content == b""
    for answer in (got, head):
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/vnd.oci.image.manifest.v1+json"
        assert answer.headers["Docker-Content-Digest"] == image.digest
        assert answer.headers["Content-Length"] == str(image.manifest.size)


def test_blobs_come_whole_and_are_counted_and_a_head_sends_nothing(
    client: httpx.Client, served: ServedImage, image: Image
) -> None:
    for blob in (*image.layers[:2], image.config):
        assert client.head(blob_path(blob)).headers["Content-Length"] == str(blob.size)
        assert blob.digest not in served.sent
        assert sha256_digest(client.get(blob_path(blob)).content) == blob.digest
        assert served.sent[blob.digest] == blob.size


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (0, 511), (511, 512), (512, 700), (100, 15 << 20), (19 << 20, (20 << 20) + 600), ((20 << 20) + 500, None)],
)
def test_a_range_is_cut_out_wherever_its_ends_lie(
    client: httpx.Client, served: ServedImage, image: Image, start: int, end: int | None
) -> None:
    layer = image.layers[0]
    answer = client.get(blob_path(layer), headers={"Range": f"bytes={start}-{'' if end is None else end}"})
    expected = read_all(layer)[start : None if end is None else end + 1]
    assert answer.status_code == 206
    assert answer.content == expected
    assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(expected) - 1}/{layer.size}"
    assert served.sent == {layer.digest: len(expected)}


def test_a_range_behind_the_end_is_refused_and_one_that_is_none_is_the_whole(
    client: httpx.Client, image: Image
) -> None:
    layer = image.layers[1]
    behind = client.get(blob_path(layer), headers={"Range": f"bytes={layer.size}-"})
    assert behind.status_code == 416
    assert behind.headers["Content-Range"] == f"bytes */{layer.size}"
    for unknown in ("bytes=0-1,3-4", "lines=1-2"):
        whole = client.get(blob_path(layer), headers={"Range": unknown})
        assert (whole.status_code, whole.content) == (200, read_all(layer))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("prebake/other/manifests/one", "NAME_UNKNOWN"),
        ("prebake/toy/manifests/two", "MANIFEST_UNKNOWN"),
        (f"prebake/toy/blobs/sha256:{'0' * 64}", "BLOB_UNKNOWN"),
        ("prebake/toy/blobs/../../../etc/passwd", "UNSUPPORTED"),
        ("somewhere", "UNSUPPORTED"),
    ],
)
def test_what_is_not_on_offer_is_said_in_the_specifications_words(
    client: httpx.Client, served: ServedImage, path: str, code: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == code
    assert served.missing == set()


def test_a_blob_whose_bytes_are_elsewhere_is_remembered(client: httpx.Client, served: ServedImage) -> None:
    answer = client.get(blob_path(ABSENT))
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == "BLOB_UNKNOWN"
    assert served.missing == {ABSENT.digest}


def test_nothing_can_be_written(client: httpx.Client) -> None:
    assert client.post("prebake/toy/blobs/uploads/").status_code == 501
    assert client.put("prebake/toy/manifests/one", content=b"{}").status_code == 501


def test_a_file_that_changed_ends_the_connection_before_the_body_does(
    client: httpx.Client, served: ServedImage, image: Image, weights: Path
) -> None:
    layer = image.layers[0]
    weights.write_bytes(b"changed")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(blob_path(layer))
    with pytest.raises(FileChanged, match="weights"):
        served.raise_failure()
    assert client.get(blob_path(image.layers[1])).status_code == 404  # nothing more of an image that cannot be whole


def test_a_content_of_another_size_than_the_blobs_is_not_sent() -> None:
    layer = tar_layer({"a": b"a"})
    with serve_image(image_of(Blob(layer.descriptor, BytesContent(b"short"))), name="a", tag="b") as served:
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://{served.address}/v2/a/blobs/{layer.digest}", trust_env=False)
        with pytest.raises(ChecksumMismatch, match=layer.digest):
            served.raise_failure()


def test_a_client_that_goes_away_is_no_failure(served: ServedImage, image: Image) -> None:
    layer = image.layers[0]
    with (
        httpx.Client(trust_env=False) as client,
        client.stream("GET", f"http://{served.address}/v2/{blob_path(layer)}") as answer,
    ):
        next(answer.iter_raw(1024))
    assert httpx.get(f"http://{served.address}/v2/", trust_env=False).status_code == 200
    assert served.failures == []
