"""The packages and the folders of code that `serving:` of image.yaml adds to an image. Other images have neither."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prebake.spec.image.image import ImageSpec
from prebake.spec.source_file import SourceFile

GRPC_LOCK = "grpc"
"""Of the library's requirements locks, the one with the packages of gRPC."""
GRPC_FOLDERS = ("entrypoints/open_inference/grpc/", "entrypoints/server/grpc/")


def add_serving_packages(spec: ImageSpec, locks: Mapping[str, str]) -> dict[str, str]:
    """The requirements locks by name; those that serve a target have gRPC's packages if the image speaks gRPC."""
    added = {name for target in spec.targets for name in (target, f"{target}-torch")} if spec.serving.grpc else set()
    return {name: join_locks(lock, locks[GRPC_LOCK]) if name in added else lock for name, lock in locks.items()}


def join_locks(lock: str, more: str) -> str:
    """``lock``, and the packages of ``more`` that it does not have: it may pin another version of one that it needs itself."""
    pinned = {find_name(entry) for entry in split_entries(lock)}
    return lock + "".join(entry for entry in split_entries(more) if find_name(entry) not in pinned)


def split_entries(lock: str) -> Iterator[str]:
    """Each package with its hashes, which are indented."""
    entry = ""
    for line in lock.splitlines(keepends=True):
        if not line[:1].isspace() and entry:
            yield entry
            entry = ""
        entry += line
    if entry:
        yield entry


def find_name(entry: str) -> str:
    return entry.partition("==")[0]


def select_code(spec: ImageSpec, entrypoints: Iterable[SourceFile]) -> tuple[SourceFile, ...]:
    """The code of the container without what the image does not serve."""
    return tuple(file for file in entrypoints if spec.serving.grpc or not file.path.startswith(GRPC_FOLDERS))
