"""Pushing images: what is there is not sent, and a tag names a whole image or none."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from dataclasses import replace

import pytest

from prebake.errors import Interrupted
from prebake.io.byte_sizes import format_bytes
from prebake.oci.blobs.blobs import EMPTY, Blob, Image, data_blob, read_all, sha256_digest
from prebake.oci.blobs.content import BLOCK_BYTES, FileChanged
from prebake.oci.errors import RegistryError
from prebake.oci.registry.push import PushResult, push_image, short_digest
from prebake.oci.registry.repository import Repository
from tests.support.registries.oci_images import image_of
from tests.support.registries.pushes import (
    CHUNK_BYTES,
    DATA,
    HASTY,
    Opened,
    Watched,
    bytes_of,
    check_forgotten,
    check_there,
    layer,
    pulled,
)
from tests.support.registry_servers.front import Fault, Front
from tests.support.registry_servers.habits import Habits, HabitualRegistry
from tests.support.registry_servers.killable import KillableRegistry
from tests.support.registry_servers.server import served


def unopened() -> None:
    raise AssertionError("a blob that was there was opened")


def test_what_was_pushed_is_what_is_read(standing: KillableRegistry, path: str, opened: Opened) -> None:
    repository, image = opened(standing.address, path), image_of(layer(1), layer(2), layer(3, 5), layer(1))
    pushed = push_image(repository, image, "v1")
    assert pushed.name == f"{standing.address}/{path}@{image.digest}"
    assert {each.how for each in pushed.blobs} == {"sent"}
    assert len(pushed.blobs) == 4
    assert pushed.bytes == sum(blob.size for blob in (image.manifest, *image.blobs))
    assert pulled(repository, "v1") == pulled(repository, image.digest) == bytes_of(image)
    assert repository.resolve("v1") == image.digest


class Watch:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.reports: list[tuple[str, int, int | None]] = []
        self.notes: list[str] = []

    def expect(self, totals: Mapping[str, int]) -> None:
        self.totals.update(totals)

    def report(self, name: str, done: int, total: int | None) -> None:
        self.reports.append((name, done, total))

    def note(self, name: str, text: str) -> None:
        self.notes.append(f"{name}: {text}")


def test_a_push_is_watched_byte_by_byte(front: Front, path: str, opened: Opened) -> None:
    front.faults.append(Fault("PUT", "/blobs/", status=503))
    repository, image, watch = opened(front.address, path), image_of(layer(1), layer(2)), Watch()
    push_image(repository, image, "v1", progress=watch)
    assert watch.totals == {short_digest(blob.digest): blob.size for blob in image.blobs}
    for blob in image.blobs:
        positions = [done for name, done, total in watch.reports if name == short_digest(blob.digest)]
        assert positions[-1] == blob.size
        assert {BLOCK_BYTES, 2 * BLOCK_BYTES} <= set(positions) or blob.size < BLOCK_BYTES
        assert f"push: {blob.digest} ({format_bytes(blob.size)}) sent" in watch.notes
    assert [note for note in watch.notes if "503" in note and "trying again" in note]
    again = Watch()
    push_image(repository, image, "v1", progress=again)
    assert {done for _, done, _ in again.reports} == set(watch.totals.values()), "what is there is not on its way"


def test_an_image_without_a_tag_is_there_by_its_digest(standing: KillableRegistry, path: str, opened: Opened) -> None:
    repository, image = opened(standing.address, path), image_of(layer(1))
    push_image(repository, image)
    assert pulled(repository, image.digest) == bytes_of(image)
    assert repository.get_manifest("latest") is None
    assert repository.get_manifest(sha256_digest(b"another")) is None


def test_a_second_push_sends_and_opens_nothing(standing: KillableRegistry, path: str, opened: Opened) -> None:
    repository, image = opened(standing.address, path), image_of(layer(1), layer(2))
    push_image(repository, image, "v1")
    closed = [replace(each, content=Watched(read_all(each), 0, unopened)) for each in (*image.layers, image.config)]
    again = push_image(repository, Image(image.manifest, closed[-1], tuple(closed[:-1])), "v1")
    assert again.bytes == 0
    assert {each.how for each in (again.manifest, *again.blobs)} == {"present"}


def test_bytes_that_are_not_here_need_not_be_where_the_registry_has_them(
    standing: KillableRegistry, path: str, opened: Opened
) -> None:
    repository, held, other = opened(standing.address, path), layer(1), layer(2)
    push_image(repository, image_of(held), "v1")
    image = image_of(replace(held), other)
    absent = Image(image.manifest, image.config, (Blob(held.descriptor), other))
    push_image(repository, absent, "v2")
    assert pulled(repository, "v2") == bytes_of(image)


def test_a_blob_that_is_nowhere_is_named_before_anything_is_sent(
    standing: KillableRegistry, path: str, opened: Opened
) -> None:
    repository, image = opened(standing.address, path), image_of(layer(1), layer(2))
    absent = Image(image.manifest, image.config, (image.layers[0], Blob(image.layers[1].descriptor)))
    with pytest.raises(RegistryError, match=image.layers[1].digest):
        push_image(repository, absent, "v1", workers=1)
    assert not repository.has(image.layers[0].digest)
    assert repository.get_manifest("v1") is None


def test_a_blob_is_mounted_from_another_repository(front: Front, path: str, opened: Opened) -> None:
    image = image_of(layer(1), layer(2))
    push_image(opened(front.address, path), image, "v1")
    beside = opened(front.address, f"{path}-beside")
    mounted = push_image(beside, image, "v1", mount_from=[f"{path}-none", path])
    assert {each.how for each in mounted.blobs} == {"mounted"}
    assert mounted.bytes == image.manifest.size
    assert pulled(beside, "v1") == bytes_of(image)


def test_where_nothing_can_be_mounted_it_is_sent(standing: KillableRegistry, path: str, opened: Opened) -> None:
    repository, image = opened(standing.address, path), image_of(layer(1))
    pushed = push_image(repository, image, "v1", mount_from=[f"{path}-none"])
    assert {each.how for each in pushed.blobs} == {"sent"}
    check_forgotten(standing, path)


@pytest.mark.parametrize(("status", "how"), [(200, "mounted"), (201, "mounted"), (202, "sent"), (204, "mounted")])
def test_a_mount_is_believed_if_the_blob_is_there(opened: Opened, status: int, how: str) -> None:
    """The specification has 201 for a mount and 202 for an upload in its place."""
    registry = HabitualRegistry(Habits(mounts=status))
    with served(registry):
        blob = data_blob(EMPTY, DATA)
        opened(registry.address, "one").push(blob)
        beside = opened(registry.address, "two")
        assert beside.push(blob, mount_from=["one"]).how == how
        assert registry.uploads == {}


def test_an_image_whose_blobs_are_seen_a_moment_later_is_pushed(front: Front, path: str, opened: Opened) -> None:
    """Replicas of a registry may not see at once what one of them got."""
    unknown = b'{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry"}]}'
    front.faults.append(Fault("PUT", "manifests", status=404, data=unknown, times=2))
    repository, image = opened(front.address, path), image_of(layer(1))
    push_image(repository, image, "v1")
    assert pulled(repository, "v1") == bytes_of(image)


def test_an_empty_blob_and_one_of_a_byte_are_pushed(standing: KillableRegistry, path: str, opened: Opened) -> None:
    repository = opened(standing.address, path)
    for data in (b"", b"a", b"ab", DATA[:CHUNK_BYTES], DATA[: CHUNK_BYTES + 1]):
        blob = data_blob(EMPTY, data)
        assert repository.push(blob).bytes == len(data)
        check_there(repository, blob, data)


def test_nothing_is_referred_to_after_a_failure_and_the_next_push_ends_right(
    front: Front, path: str, opened: Opened
) -> None:
    image = image_of(*(layer(seed) for seed in range(4)))
    fault = Fault("PUT", "/blobs/", status=400, times=100)
    front.faults += [Fault("PUT", times=3), fault]
    repository = opened(front.address, path)
    with pytest.raises(RegistryError, match="400"):
        push_image(repository, image, "v1")
    assert repository.get_manifest("v1") is None
    assert front.requests("PUT", "manifests") == []
    fault.times = 0
    push_image(repository, image, "v1")
    assert pulled(repository, "v1") == bytes_of(image)


def test_one_failure_stops_the_other_blobs(front: Front, path: str, opened: Opened) -> None:
    def fail() -> None:
        raise FileChanged("a file changed.", next_action="build again")

    waiting, changed = layer(1), replace(layer(2), content=Watched(DATA[: 2 * BLOCK_BYTES + 77], BLOCK_BYTES, fail))
    front.faults.append(Fault("HEAD", waiting.digest, status=503, headers={"Retry-After": "190"}))
    repository = opened(front.address, path)
    with pytest.raises(FileChanged):
        push_image(repository, image_of(waiting, changed), "v1")
    assert [each for each in threading.enumerate() if each.name == "push"] == []
    assert not repository.has(waiting.digest)
    assert repository.get_manifest("v1") is None


def test_an_interrupt_ends_a_push_that_hangs(
    front: Front, standing: KillableRegistry, path: str, opened: Opened
) -> None:
    front.faults.append(Fault("PUT", stall=1000, times=100))
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        if front.stalling.wait(20):
            signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(Interrupted):
            push_image(opened(front.address, path, replace(HASTY, read=300.0)), image_of(layer(1)), "v1")
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert front.requests("PUT", "manifests") == []


def test_two_pushes_of_the_same_layers_at_once_both_end_right(
    standing: KillableRegistry, path: str, opened: Opened
) -> None:
    image = image_of(*(layer(seed) for seed in range(3)))
    repositories = [opened(standing.address, path) for _ in range(3)]
    outcomes: list[PushResult | BaseException] = []

    def push(repository: Repository, tag: str) -> None:
        try:
            outcomes.append(push_image(repository, image, tag))
        except BaseException as error:
            outcomes.append(error)

    threads = [threading.Thread(target=push, args=(each, f"v{n % 2}")) for n, each in enumerate(repositories)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each for each in outcomes if not isinstance(each, PushResult)] == []
    assert pulled(repositories[0], "v0") == pulled(repositories[0], "v1") == bytes_of(image)
