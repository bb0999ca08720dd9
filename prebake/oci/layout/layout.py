"""Images in a folder that every OCI tool reads (OCI image specification, image-layout.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event
from typing import Any

from prebake.io.atomic_write import new_file, remove_unfinished
from prebake.io.disk_space import require_room, translate_full_disk
from prebake.io.file_lock import hold_lock
from prebake.oci.blobs.blobs import Blob, Image
from prebake.oci.blobs.verification import verified_chunks
from prebake.oci.layout import index
from prebake.oci.layout.index import LayoutError

_WRITERS = 2
"""Blobs that are written at a time: one is hashed while the other waits for the disk."""


def write_layout(image: Image, folder: Path, *, reference: str) -> None:
    """Add an image to the layout in ``folder``, which is created if it is missing. ``reference`` names the image.

    Blobs that the folder has with the right size are kept, since a blob gets its name only when its bytes are verified. The
    index is written last, and keeps its other images. Raises LayoutError, NoRoom, ChecksumMismatch, FileChanged or
    ReferenceInvalid; blobs that are finished by then are kept.
    """
    index.full_name(reference)
    with translate_full_disk(folder):
        (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        remove_unfinished(folder)
        _read_index(folder)  # an index that cannot be read is reported before the work, not after it
        missing = [blob for blob in (*image.blobs, image.manifest) if not _is_written(folder, blob)]
        index.require_contents(missing, where=str(folder))
        require_room(folder, sum(blob.size for blob in missing), what=f"the OCI layout of {reference}")
        _write_blobs(missing, folder)
        entry = index.describe_image(image, _blob_path(folder, image.config).read_bytes(), reference)
        marker = folder / "oci-layout"
        with hold_lock(marker) as descriptor:
            _mark(marker, descriptor)
            with new_file(folder / "index.json") as file:
                file.write(index.add_to_index(entry, _read_index(folder)))


def _blob_path(folder: Path, blob: Blob) -> Path:
    algorithm, _, encoded = blob.digest.partition(":")
    return folder / "blobs" / algorithm / encoded


def _is_written(folder: Path, blob: Blob) -> bool:
    try:
        return _blob_path(folder, blob).stat().st_size == blob.size
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
        raise LayoutError(f"{path} is not an image index.", next_action="give a new folder, or delete this one")
    return document


def _write_blobs(blobs: Sequence[Blob], folder: Path) -> None:
    """Write all blobs. After the first that fails, no other is begun."""
    stop = Event()
    with ThreadPoolExecutor(_WRITERS) as writers:
        written = [writers.submit(_write_blob, blob, folder, stop) for blob in blobs]
        try:
            for blob in as_completed(written):
                blob.result()
        except BaseException:
            stop.set()
            writers.shutdown(wait=False, cancel_futures=True)
            raise


def _write_blob(blob: Blob, folder: Path, stop: Event) -> None:
    with new_file(_blob_path(folder, blob), folder) as file:
        for chunk in verified_chunks(blob):
            if stop.is_set():
                raise CancelledError
            file.write(chunk)


def _mark(marker: Path, descriptor: int) -> None:
    """Write the marker file ``oci-layout``, whose lock is held, if it is empty. It is written in place: a rename would take the
    file away from processes that wait for its lock."""
    if os.fstat(descriptor).st_size:
        return
    try:
        os.write(descriptor, index.MARKER)
        os.fsync(descriptor)
    except OSError:
        marker.unlink()
        raise
