"""A published checkpoint, downloaded for ``prebake init``: its documents first, then the chosen weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

from prebake.checkpoints.fetch import fetch_remote
from prebake.checkpoints.progress import terminal_progress
from prebake.checkpoints.source import FileLister, RemoteFile, Sources, find_source
from prebake.checkpoints.store.store import Store, default_root
from prebake.errors import SourceError
from prebake.spec.image.sources import Source
from prebake.spec.reader import parse_source
from prebake.workflow.checkpoint.sources import open_sources
from prebake.workflow.init.origin import Origin, parse_origin
from prebake.workflow.init.published_files import choose_files
from prebake.workflow.init.recognizers.recognizer import ImageDraft, InitRefused

# Paths that a spec can name, at most two folders deep.
_PATH = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*){0,2}")


@contextmanager
def fetch_checkpoint(draft: ImageDraft, check: Callable[[Path], None]) -> Iterator[tuple[Path, ImageDraft]]:
    """The checkpoint as a folder or file of this machine for the length of the block, and the draft with its remote source.

    ``check`` looks at a folder that has the documents only. Raises InitRefused, SourceError or NoNetwork.
    """
    readings = parse_origin(draft.request.origin)
    if not readings:
        yield Path(draft.request.origin, draft.request.file), draft
        return
    store = Store(default_root())
    with store.in_use(), store.folder() as folder, open_sources(draft.request.root, draft.request.name) as sources:
        origin, names = _find_origin(readings, sources)
        where = origin.source
        choice = choose_files(names, _chosen_file(draft, origin), draft.request.origin)
        inside = folder / _checkpoint_name(where)
        inside.mkdir()
        draft.log(
            f"init: {draft.request.origin} has {len(names)} files; fetching {', '.join(choice.weights) or 'its documents'}"
        )
        if choice.left_out:
            draft.log(f"init: other variants, which --file can choose: {', '.join(choice.left_out)}")
        _download(where, choice.documents, inside, store, sources)
        if choice.needs_documents:
            check(inside)
        _download(where, choice.weights, inside, store, sources)
        _download(where, _external_data(names, inside), inside, store, sources)
        yield inside, replace(draft, remote=where)


def _find_origin(readings: Sequence[Origin], sources: Sources) -> tuple[Origin, list[str]]:
    """The first origin that exists, and the names of its files. Raises the error of the most likely one."""
    try:
        return readings[0], _names(readings[0].source, sources)
    except SourceError:
        for origin in readings[1:]:
            with suppress(SourceError):
                return origin, _names(origin.source, sources)
        raise


def _chosen_file(draft: ImageDraft, origin: Origin) -> str:
    """The file or folder that the user chose; empty for all."""
    if draft.request.file and (origin.file or origin.source["from"] == "http"):
        raise InitRefused(f"{draft.request.origin} is already one file.", next_action="leave --file out")
    wanted = (draft.request.file or origin.file).strip("/")
    if wanted and not _PATH.fullmatch(wanted):
        raise InitRefused(
            f"image.yaml cannot refer to the file {wanted!r}.",
            next_action="give it a plain name (letters, digits, `._@+-`), at most two folders deep",
        )
    return wanted


def _external_data(names: Sequence[str], folder: Path) -> list[str]:
    """The published external data files of the downloaded graphs."""
    graphs = sorted(folder.rglob("*.onnx"))
    if not graphs:
        return []
    from prebake.bake.graphs.onnx_files import find_external_files

    wanted = {
        (graph.parent.relative_to(folder) / file).as_posix() for graph in graphs for file in find_external_files(graph)
    }
    return sorted(name for name in wanted & set(names) if not (folder / name).exists())


def _names(where: Mapping[str, str], sources: Sources) -> list[str]:
    """The files that a spec can name."""
    if where["from"] == "http":
        return [_checkpoint_name(where)]
    lister = cast(FileLister, find_source(sources, where["from"]))
    return sorted(name for name in lister.names(_spec(where, ("any",))) if _PATH.fullmatch(name))


def _download(where: Mapping[str, str], names: Sequence[str], folder: Path, store: Store, sources: Sources) -> None:
    if not names:
        return
    files = find_source(sources, where["from"]).resolve(_spec(where, names))
    absent = [file for file in files if file.sha256 is None or store.get(file.sha256) is None]
    store.require_room(sum(file.size or 0 for file in absent))
    stored = fetch_remote(absent, store, sources, terminal_progress())
    for file in files:
        store.link_into(folder, file.path, stored[file].sha256 if file in stored else _sha256(file))


def _sha256(file: RemoteFile) -> str:
    if file.sha256 is None:
        raise AssertionError(f"{file.path} was neither fetched nor known")
    return file.sha256


def _spec(where: Mapping[str, str], files: Sequence[str]) -> Source:
    return parse_source({**where, "files": tuple(files)})


def _checkpoint_name(where: Mapping[str, str]) -> str:
    """The checkpoint's name at its publisher."""
    address = where.get("repository") or where.get("reference") or where["url"]
    name = re.split(r"[?#]", address.rstrip("/"))[0].rpartition("/")[2]
    return (
        re.sub(r"[^A-Za-z0-9_.@+-]", "_", re.split(r"[:@]", name)[0] if "reference" in where else name) or "checkpoint"
    )
