"""An image as a folder that every OCI tool reads (OCI image specification, image-layout.md)."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import IO, Any

from prebake.disk import name_full_disk, require_room
from prebake.oci import index
from prebake.oci.blobs import Blob, Image
from prebake.oci.index import LayoutError
from prebake.oci.newfiles import new_file, sweep, sync_folder
from prebake.oci.verified import verified_chunks

_WRITERS = 2
"""Blobs at once: one is hashed while the other waits for the disk."""


def write_layout(image: Image, folder: Path, *, reference: str) -> None:
    """Add an image to the layout in ``folder``, or begin one there; ``reference`` names it, its tag alone in the index.

    Blobs that lie there in their right size are kept: none has its name before its bytes were verified. The index comes
    last, with the other images that it named. Raises LayoutError, NoRoom, ChecksumMismatch, FileChanged or
    ReferenceInvalid; what was finished by then is kept.
    """
    index.full_name(reference)
    with name_full_disk(folder):
        (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        sweep(folder)
        _read_index(folder)  # one that cannot be read is said before the work, not after it
        missing = [blob for blob in (*image.blobs, image.manifest) if not _is_here(folder, blob)]
        index.require_contents(missing, where=str(folder))
        require_room(folder, sum(blob.size for blob in missing), what=f"the OCI layout of {reference}")
        _write_blobs(missing, folder)
        entry = index.entry(image, _place(folder, image.config).read_bytes(), reference)
        with _held(folder):
            _put(folder / "index.json", index.index_of(entry, _read_index(folder)))
            sync_folder(folder)


def _place(folder: Path, blob: Blob) -> Path:
    algorithm, _, encoded = blob.digest.partition(":")
    return folder / "blobs" / algorithm / encoded


def _is_here(folder: Path, blob: Blob) -> bool:
    try:
        return _place(folder, blob).stat().st_size == blob.size
    except FileNotFoundError:
        return False


def _read_index(folder: Path) -> Mapping[str, Any] | None:
    path = folder / "index.json"
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("manifests", []), list):
        raise LayoutError(f"{path} is not an image index.", next_action="name a new folder, or delete this one")
    return document


def _write_blobs(blobs: Sequence[Blob], folder: Path) -> None:
    """All of them, or none any more after the first that fails."""
    stop = Event()
    with ThreadPoolExecutor(_WRITERS) as writers:
        written = [writers.submit(_write_blob, blob, folder, stop) for blob in blobs]
        try:
            for each in as_completed(written):
                each.result()
        except BaseException:
            stop.set()
            writers.shutdown(wait=False, cancel_futures=True)
            raise
    sync_folder(folder / "blobs" / "sha256")


def _write_blob(blob: Blob, folder: Path, stop: Event) -> None:
    with new_file(_place(folder, blob), folder) as file:
        for chunk in verified_chunks(blob):
            if stop.is_set():
                raise CancelledError
            file.write(chunk)


def _put(path: Path, data: bytes) -> None:
    with new_file(path) as file:
        file.write(data)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the layout's index against other writers, by the file that says that this is a layout."""
    marker = folder / "oci-layout"
    while True:
        with marker.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:  # else its first writer failed, and took it away
                _mark(marker, file)
                yield
                return


def _mark(marker: Path, file: IO[bytes]) -> None:
    """Who finds it empty writes it: a rename would take it from under whoever waits for it."""
    if os.fstat(file.fileno()).st_size:
        return
    try:
        file.write(index.MARKER)
        file.flush()
        os.fsync(file.fileno())
    except OSError:
        marker.unlink()
        raise
