"""Images pulled by an Engine from a registry that runs for just that, on loopback."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.images import inspect_image, list_summaries
from prebake.docker.images.pull import EngineCannotReach, load_archive, pull, retag_pulled
from prebake.errors import EngineError
from prebake.oci.blobs.blobs import Blob, Image
from prebake.oci.blobs.content import BytesContent, Content, FileChanged
from prebake.oci.layout.archive import layout_tar
from prebake.oci.registry.loopback import ServedImage, serve_image
from tests.support.registries.oci_images import file_layer, image_of, read_file, tar_layer, without_content


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Larger than what a socket buffers."""
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(9 << 20))
    return path


@pytest.fixture
def image(weights: Path) -> Image:
    return image_of(new_layer(), file_layer(weights, "models/weights"))


def new_layer() -> Blob:
    """Unlike any that an Engine has already."""
    return tar_layer({"app/code": uuid.uuid4().bytes})


def pull_into(engine: Connection, image: Image, tag: str) -> ServedImage:
    with serve_image(image, name="prebake/toy", tag="one") as served:
        pull(engine, served.reference)
        retag_pulled(engine, served.reference, tag)
    return served


def names(engine: Connection) -> set[str]:
    with closing(engine.client()) as client:
        images = list_summaries(client, every=True)
    return {name for image in images for kind in ("RepoTags", "RepoDigests") for name in image[kind] or []}


@dataclass(frozen=True)
class HeldContent:
    """A content whose last chunk comes once ``released`` is set."""

    content: Content
    released: threading.Event

    @property
    def size(self) -> int:
        return self.content.size

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        position = offset
        for chunk in self.content.chunks(offset):
            position += len(chunk)
            if position == self.size:
                assert self.released.wait(60), "no progress was told"
            yield chunk


def test_a_pull_tells_how_far_it_is(engine: Connection, image: Image, tag: str) -> None:
    """The Engine tells it a few times a second: the layer is held back until it did."""
    told, weights = threading.Event(), image.layers[1]
    assert weights.content is not None
    seen: list[tuple[str, int]] = []

    def watch(name: str, done: int, total: int | None) -> None:
        if total == weights.size:
            seen.append((name, done))
            told.set()

    held = replace(image, layers=(image.layers[0], replace(weights, content=HeldContent(weights.content, told))))
    with serve_image(held, name="prebake/toy", tag="one") as served:
        pull(engine, served.reference, watch)
        retag_pulled(engine, served.reference, tag)
    assert {name for name, _ in seen} == {weights.digest.removeprefix("sha256:")[:12]}
    assert all(0 < done <= weights.size for _, done in seen)


def test_a_pulled_image_has_its_digest_its_files_and_one_name(
    engine: Connection, image: Image, tag: str, weights: Path
) -> None:
    served = pull_into(engine, image, tag)
    assert inspect_image(engine, tag).digest == image.digest
    assert read_file(engine, tag, "/models/weights") == weights.read_bytes()
    assert not [name for name in names(engine) if name.startswith(served.address)]
    assert served.sent == {blob.digest: blob.size for blob in (*image.blobs, image.manifest)}
    assert (served.failures, served.missing) == ([], set())


def test_only_what_is_new_is_sent(engine: Connection, image: Image, new_tag: Callable[[], str]) -> None:
    pull_into(engine, image, new_tag())
    code = new_layer()
    second = image_of(*map(without_content, image.layers), code)
    served = pull_into(engine, second, tag := new_tag())
    assert inspect_image(engine, tag).digest == second.digest
    assert served.sent == {blob.digest: blob.size for blob in (code, second.config, second.manifest)}
    assert served.missing == set()


def test_an_image_that_is_there_is_not_sent_at_all(engine: Connection, image: Image, tag: str) -> None:
    pull_into(engine, image, tag)
    assert not pull_into(engine, image, tag).sent
    assert inspect_image(engine, tag).digest == image.digest


def test_loaded_instead_it_is_the_same_image(engine: Connection, image: Image, new_tag: Callable[[], str]) -> None:
    load_archive(engine, layout_tar(image, reference=(loaded := new_tag())))
    pull_into(engine, image, pulled := new_tag())
    assert inspect_image(engine, loaded).digest == inspect_image(engine, pulled).digest == image.digest


def refused(engine: Connection, image: Image) -> tuple[EngineError, ServedImage]:
    """A pull that has to fail, and to leave nothing behind that has a name."""
    with serve_image(image, name="prebake/toy", tag="one") as served, pytest.raises(EngineError) as caught:
        pull(engine, served.reference)
    assert not [name for name in names(engine) if name.startswith(served.address)]
    with pytest.raises(EngineError, match="has no image"):
        inspect_image(engine, image.digest)
    return caught.value, served


def test_bytes_that_are_not_the_digests_are_refused(engine: Connection) -> None:
    layer = new_layer()
    error, _ = refused(engine, image_of(replace(layer, content=BytesContent(b"x" * layer.size))))
    assert layer.digest in error.message
    assert not isinstance(error, EngineCannotReach)


def test_a_blob_that_is_not_here_is_told(engine: Connection) -> None:
    absent = without_content(new_layer())
    error, served = refused(engine, image_of(new_layer(), absent))
    assert served.missing == {absent.digest}
    assert absent.digest in error.message


def test_a_file_that_changed_is_told_instead_of_the_engines_words(
    engine: Connection, image: Image, weights: Path
) -> None:
    os.truncate(weights, 1000)
    _, served = refused(engine, image)
    with pytest.raises(FileChanged, match="weights"):
        served.raise_failure()


def test_an_address_that_the_engine_cannot_connect_to_is_an_error_of_its_own(engine: Connection, image: Image) -> None:
    with serve_image(image, name="prebake/toy", tag="one") as served:
        pass
    with pytest.raises(EngineCannotReach, match=served.address) as caught:
        pull(engine, served.reference)
    assert caught.value.exit_code == EngineError.exit_code


def test_the_name_of_the_pull_goes_even_where_the_image_cannot_be_named(engine: Connection, image: Image) -> None:
    with serve_image(image, name="prebake/toy", tag="one") as served:
        pull(engine, served.reference)
        assert served.reference in names(engine)
        with pytest.raises(EngineError):
            retag_pulled(engine, served.reference, "prebake-test:not a tag")
    assert served.reference not in names(engine)


def test_an_engine_that_breaks_off_is_an_error_not_a_traceback(engine: Connection, image: Image) -> None:
    with way_to(engine) as way:
        cutting = replace(image.layers[0], content=Cutting(image.layers[0], way.cut))
        offered = replace(image, layers=(cutting, image.layers[1]))
        with serve_image(offered, name="prebake/toy", tag="one") as served, pytest.raises(EngineError, match="broke"):
            pull(way.connection, served.reference)


@dataclass(frozen=True)
class Cutting:
    """A content that cuts the way to the Engine when it is read."""

    blob: Blob
    cut: Callable[[], None]

    @property
    def size(self) -> int:
        return self.blob.size

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        self.cut()
        assert self.blob.content is not None
        yield from self.blob.content.chunks(offset)


@dataclass
class Way:
    """A TCP port that leads to the Engine's socket."""

    engine: Connection
    listener: socket.socket
    ends: list[socket.socket] = field(default_factory=list)

    @property
    def connection(self) -> Connection:
        return replace(self.engine, host=f"tcp://127.0.0.1:{self.listener.getsockname()[1]}")

    def cut(self) -> None:
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self.engine.host.removeprefix("unix://"))
                self.ends += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=(source, target)).start()


@contextmanager
def way_to(engine: Connection) -> Iterator[Way]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        way = Way(engine, listener)
        thread = threading.Thread(target=way.serve)
        thread.start()
        try:
            yield way
        finally:
            way.cut()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for end in way.ends:
                end.close()


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
