"""Uploads that break: the registry killed, the connection cut or stalled, the answer lost."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from prebake.oci.blobs.blobs import EMPTY, Blob, Descriptor, data_blob
from prebake.oci.blobs.content import BLOCK_BYTES, BytesContent, JoinedContent
from prebake.oci.errors import RegistryUnreachable
from tests.support.registries.pushes import CHUNK_BYTES, CHUNKS, DATA, HASTY, IMPATIENT, Opened, Watched, check_there
from tests.support.registry_servers.front import Fault, Front
from tests.support.registry_servers.keeping import KeepingRegistry
from tests.support.registry_servers.killable import killable_registry
from tests.support.registry_servers.server import served


def test_a_killed_registry_is_gone_on_with_once_it_is_back(tmp_path: Path, path: str, opened: Opened) -> None:
    with killable_registry(tmp_path) as registry:

        def restart() -> None:
            registry.kill()
            registry.start()

        repository = opened(registry.address, path, upload=CHUNKS)
        blob = replace(data_blob(EMPTY, DATA), content=Watched(DATA, 2 * CHUNK_BYTES, restart))
        sent = repository.push(blob)
        assert sent.bytes == len(DATA) + CHUNK_BYTES, "only the chunk that was on its way is sent again"
        check_there(repository, blob)


@pytest.mark.parametrize("upload", ["3MiB", ""], ids=["within a chunk", "within a whole blob"])
def test_a_registry_killed_within_a_request_gets_the_whole_anew(
    tmp_path: Path, path: str, opened: Opened, upload: str
) -> None:
    with killable_registry(tmp_path) as registry:

        def restart() -> None:
            registry.kill()
            registry.start()

        repository = opened(registry.address, path, upload=upload)
        blob = replace(data_blob(EMPTY, DATA), content=Watched(DATA, 2 * BLOCK_BYTES, restart))
        repository.push(blob)
        check_there(repository, blob)


@pytest.mark.parametrize("fault", [Fault("PUT", cut=700_000), Fault("PUT", stall=700_000)], ids=["cut", "stalled"])
@pytest.mark.parametrize("upload", ["", CHUNKS], ids=["whole", "in chunks"])
@pytest.mark.parametrize("times", [1, 2])
def test_an_upload_that_breaks_is_made_again(
    front: Front, path: str, opened: Opened, fault: Fault, upload: str, times: int
) -> None:
    front.faults.append(replace(fault, method="PATCH" if upload else "PUT", times=times))
    policy = IMPATIENT if fault.stall is not None else HASTY
    repository, blob = opened(front.address, path, policy, upload=upload), data_blob(EMPTY, DATA)
    sent = repository.push(blob)
    assert sent.how == "sent"
    assert sent.bytes > len(DATA)
    check_there(repository, blob)


@pytest.mark.parametrize("cut", [1, 700_000, CHUNK_BYTES, 3 * CHUNK_BYTES - 1, len(DATA) - 1])
def test_a_registry_that_keeps_what_arrived_is_sent_only_the_rest(opened: Opened, cut: int) -> None:
    registry = KeepingRegistry(cut)
    with served(registry):
        repository, blob = opened(registry.address, "kept", upload=CHUNKS), data_blob(EMPTY, DATA)
        repository.push(blob)
        assert registry.blobs == {blob.digest: DATA}
        ranges = [seen.headers["content-range"] for seen in registry.requests("PATCH")]
        if cut > 1:  # a single byte cannot be told from none
            assert any(each.startswith(f"{cut}-") for each in ranges)
            assert len(registry.requests("POST")) == 1


@pytest.mark.parametrize("upload", ["", CHUNKS], ids=["whole", "in chunks"])
def test_a_lost_answer_to_the_last_request_sends_nothing_again(
    front: Front, path: str, opened: Opened, upload: str
) -> None:
    front.faults.append(Fault("PUT", lose=True))
    repository, blob = opened(front.address, path, upload=upload), data_blob(EMPTY, DATA)
    assert repository.push(blob).bytes == len(DATA)
    check_there(repository, blob)


@pytest.mark.parametrize("upload", ["", CHUNKS], ids=["whole", "in chunks"])
def test_a_registry_that_never_gets_further_is_given_up_on(
    front: Front, path: str, opened: Opened, upload: str
) -> None:
    front.faults.append(Fault("PATCH" if upload else "PUT", cut=1000, times=100))
    with pytest.raises(RegistryUnreachable, match="4 times in a row") as caught:
        opened(front.address, path, upload=upload).push(data_blob(EMPTY, DATA))
    assert front.address in str(caught.value)
    assert "PREBAKE_UPLOAD" not in caught.value.next_action


def test_a_large_blob_that_never_gets_through_has_a_way_to_go_on(front: Front, path: str, opened: Opened) -> None:
    """Larger than any chunk."""
    front.faults.append(Fault("PUT", cut=1000, times=100))
    part = BytesContent(bytes(BLOCK_BYTES))
    content = JoinedContent([part] * 65)
    digest = hashlib.sha256(bytes(65 * BLOCK_BYTES)).hexdigest()
    blob = Blob(Descriptor(EMPTY, f"sha256:{digest}", content.size), content)
    with pytest.raises(RegistryUnreachable) as caught:
        opened(front.address, path).push(blob)
    assert "PREBAKE_UPLOAD=16MiB" in caught.value.next_action
