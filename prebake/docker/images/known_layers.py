"""A file of the layers of an Engine's images, so that an image is inspected once.

An Engine's list of images names no layers, so each image has to be inspected. On a busy machine with two slow cores, 25 images
took 3.8 s, in every build.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from prebake.io.atomic_write import write_text

MAX_IMAGES = 1000
"""The file keeps the images that were added last."""


class KnownLayers:
    """The diff ids of images, by their IDs. A file that cannot be read counts as empty. A file that cannot be written stays as
    it is: the next build inspects the images again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._images = _read(path)
        self._added = False

    def get(self, image: str) -> Sequence[str] | None:
        return self._images.get(image)

    def add(self, image: str, diff_ids: Iterable[str]) -> None:
        self._added = True
        self._images[image] = list(diff_ids)

    def save(self) -> None:
        """Write the file if an image was added."""
        if self._added:
            newest = dict(list(self._images.items())[-MAX_IMAGES:])
            with suppress(OSError):
                write_text(self._path, json.dumps(newest))


def _read(path: Path) -> dict[str, list[str]]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if _is_sound(document) else {}


def _is_sound(document: object) -> bool:
    return isinstance(document, dict) and all(
        isinstance(diff_ids, list) and all(isinstance(diff_id, str) for diff_id in diff_ids)
        for diff_ids in document.values()
    )
