"""Symbolic links among a folder's files: those that leave the folder without being a hub's cache are told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

_BLOBS = "blobs"


def describe_missing(folder: Path, file: str) -> str:
    """The file's name, and what is wrong if it is a link to nothing."""
    path = folder / file
    return f"{file} (a link to {path.readlink()}, which is not there)" if path.is_symlink() else file


def foreign_links(folder: Path, files: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Files of a folder whose bytes lie outside of it, behind a link, and where.

    A snapshot of huggingface_hub's cache consists of links into ``blobs`` of its repository, or of the whole cache, and is left
    out: https://huggingface.co/docs/huggingface_hub/guides/manage-cache.
    """
    home = folder.resolve()
    allowed = [home, *_caches(folder), *_caches(home)]
    for file in files:
        found = (folder / file).resolve()
        if not any(found.is_relative_to(place) for place in allowed):
            yield file, found


def _caches(folder: Path) -> Iterator[Path]:
    """Where the files of a snapshot that ``folder`` is, or is a part of, may lie: CACHE/models--…/snapshots/COMMIT."""
    path = folder.absolute()
    for place in (path, *path.parents):
        if place.parent.name == "snapshots" and place.parents[1].name.startswith(("models--", "datasets--")):
            yield (place.parents[1] / _BLOBS).resolve()
            yield (place.parents[2] / _BLOBS).resolve()
