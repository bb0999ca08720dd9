"""Symbolic links in a folder: finds links to files outside of it, except those into a hub's cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

_BLOBS = "blobs"


def describe_missing(folder: Path, file: str) -> str:
    """The file's name, with an explanation if it is a broken link."""
    path = folder / file
    return f"{file} (a link to {path.readlink()}, which does not exist)" if path.is_symlink() else file


def foreign_links(folder: Path, files: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """The files of a folder that are links to files outside of it, each with that file.

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
    """The folders that may hold the files of the snapshot ``folder`` (CACHE/models--…/snapshots/COMMIT, or a part of it)."""
    path = folder.absolute()
    for place in (path, *path.parents):
        if place.parent.name == "snapshots" and place.parents[1].name.startswith(("models--", "datasets--")):
            yield (place.parents[1] / _BLOBS).resolve()
            yield (place.parents[2] / _BLOBS).resolve()
