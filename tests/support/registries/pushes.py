"""What the tests of registries share: bytes, blobs of them, and looks at what arrived."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from prebake.io.retry import RetryPolicy
from prebake.oci.blobs.blobs import Blob, Descriptor, Image, read_all
from prebake.oci.blobs.content import BLOCK_BYTES, BytesContent
from prebake.oci.registry.repository import Repository
from tests.support.registries.oci_images import layer_of
from tests.support.registry_servers.killable import KillableRegistry

HASTY = RetryPolicy(
    attempts=4, initial_delay=0.01, max_delay=0.02, connect=20.0, read=20.0, finish=20.0, max_retry_after=200.0
)
"""Hardly any delay between attempts. A busy server has its time to answer."""
IMPATIENT = replace(HASTY, read=1.0, finish=5.0)
"""For servers that stall on purpose."""
CHUNK_BYTES = BLOCK_BYTES
CHUNKS = "1MiB"
"""``PREBAKE_UPLOAD`` for chunks of that many bytes."""
DATA = random.Random(0).randbytes(4 * BLOCK_BYTES + 1000)
Opened = Callable[..., Repository]


@dataclass(frozen=True)
class Watched:
    """Data that calls ``passing`` before the chunk at ``at`` is given, once."""

    data: bytes
    at: int
    passing: Callable[[], None]
    done: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        for chunk in BytesContent(self.data).chunks(offset):
            if offset >= self.at and not self.done:
                self.done.append(offset)
                self.passing()
            yield chunk
            offset += len(chunk)


def layer(seed: int, size: int = 2 * BLOCK_BYTES + 77) -> Blob:
    return layer_of(BytesContent(random.Random(seed).randbytes(size)))


def pulled(repository: Repository, target: str) -> dict[str, bytes]:
    """Manifest and blobs of an image, by digest."""
    found = repository.get_manifest(target)
    assert found is not None
    descriptor, data = found
    document = json.loads(data)
    listed = [Descriptor.read(each) for each in (*document["layers"], document["config"])]
    blobs = {each.digest: b"".join(repository.open_blob(each.digest, each.size)) for each in listed}
    return {descriptor.digest: data, **blobs}


def bytes_of(image: Image) -> dict[str, bytes]:
    return {blob.digest: read_all(blob) for blob in (image.manifest, *image.blobs)}


def check_there(repository: Repository, blob: Blob, data: bytes = DATA) -> None:
    assert b"".join(repository.open_blob(blob.digest, blob.size)) == data


def check_forgotten(registry: KillableRegistry, path: str) -> None:
    """No upload of the repository is left."""
    assert [each for each in registry.unfinished() if path in str(each)] == []
