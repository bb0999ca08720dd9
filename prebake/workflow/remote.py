"""A checkpoint that ``prebake init`` begins with where it is published: its documents, then the weights that count."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

from prebake.checkpoints.fetch import bring
from prebake.checkpoints.progress import terminal_progress
from prebake.checkpoints.source import Lister, RemoteFile, Sources, find_source
from prebake.checkpoints.store import Store, default_root
from prebake.errors import SourceError
from prebake.spec.reading import parse_source
from prebake.spec.sources import Source
from prebake.workflow.beginnings.beginning import Asked, InitRefused
from prebake.workflow.origin import Origin, parse_origin
from prebake.workflow.published import choose
from prebake.workflow.sources import open_sources
from prebake.workflow.steps import Tell

# Paths that a spec can name, at most two folders deep.
_PATH = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*){0,2}")


@contextmanager
def fetched(asked: Asked, tell: Tell, check: Callable[[Path], None]) -> Iterator[tuple[Path, Asked]]:
    """The checkpoint as a folder or file of this machine, while the block lasts, and what is asked of it.

    ``check`` looks at a folder that has the documents only. Raises InitRefused, SourceError or NoNetwork.
    """
    readings = parse_origin(asked.origin)
    if not readings:
        yield Path(asked.origin, asked.file), asked
        return
    store = Store(default_root())
    with store.in_use(), store.folder() as folder, open_sources(asked.root, asked.name) as sources:
        origin, names = _look(readings, sources)
        where = origin.source
        choice = choose(names, _one_file(asked, origin), asked.origin)
        inside = folder / _title(where)
        inside.mkdir()
        tell(f"init: {asked.origin} has {len(names)} files; fetching {', '.join(choice.weights) or 'its documents'}")
        if choice.left:
            tell(f"init: --file names another form of it: {', '.join(choice.left)}")
        _bring(where, choice.documents, inside, store, sources)
        if choice.needs_documents:
            check(inside)
        _bring(where, choice.weights, inside, store, sources)
        _bring(where, _beside_graphs(names, inside), inside, store, sources)
        yield inside, replace(asked, remote=where)


def _look(readings: Sequence[Origin], sources: Sources) -> tuple[Origin, list[str]]:
    """The first origin that is there, and the names of its files. Raises what the likeliest one raised."""
    try:
        return readings[0], _names(readings[0].source, sources)
    except SourceError:
        for origin in readings[1:]:
            with suppress(SourceError):
                return origin, _names(origin.source, sources)
        raise


def _one_file(asked: Asked, origin: Origin) -> str:
    """The file or folder that is meant; empty for all."""
    if asked.file and (origin.file or origin.source["from"] == "http"):
        raise InitRefused(f"{asked.origin} names a file already.", next_action="leave --file out")
    wanted = (asked.file or origin.file).strip("/")
    if wanted and not _PATH.fullmatch(wanted):
        raise InitRefused(
            f"image.yaml cannot name the file {wanted!r}.",
            next_action="give it a plain name (letters, digits, `._@+-`), at most two folders deep",
        )
    return wanted


def _beside_graphs(names: Sequence[str], folder: Path) -> list[str]:
    """The files that fetched graphs keep their tensors in, whatever they are called."""
    graphs = sorted(folder.rglob("*.onnx"))
    if not graphs:
        return []
    from prebake.bake.graph_files import external_files

    wanted = {
        (graph.parent.relative_to(folder) / file).as_posix() for graph in graphs for file in external_files(graph)
    }
    return sorted(name for name in wanted & set(names) if not (folder / name).exists())


def _names(where: Mapping[str, str], sources: Sources) -> list[str]:
    """Those that a spec can name."""
    if where["from"] == "http":
        return [_title(where)]
    lister = cast(Lister, find_source(sources, where["from"]))
    return sorted(name for name in lister.names(_spec(where, ("any",))) if _PATH.fullmatch(name))


def _bring(where: Mapping[str, str], names: Sequence[str], folder: Path, store: Store, sources: Sources) -> None:
    if not names:
        return
    files = find_source(sources, where["from"]).resolve(_spec(where, names))
    absent = [file for file in files if file.sha256 is None or store.get(file.sha256) is None]
    store.require_room(sum(file.size or 0 for file in absent))
    stored = bring(absent, store, sources, terminal_progress())
    for file in files:
        store.link_into(folder, file.path, stored[file].sha256 if file in stored else _sha256(file))


def _sha256(file: RemoteFile) -> str:
    if file.sha256 is None:
        raise AssertionError(f"{file.path} was neither fetched nor known")
    return file.sha256


def _spec(where: Mapping[str, str], files: Sequence[str]) -> Source:
    return parse_source({**where, "files": tuple(files)})


def _title(where: Mapping[str, str]) -> str:
    """What the checkpoint is called at its place."""
    place = where.get("repository") or where.get("reference") or where["url"]
    name = re.split(r"[?#]", place.rstrip("/"))[0].rpartition("/")[2]
    return (
        re.sub(r"[^A-Za-z0-9_.@+-]", "_", re.split(r"[:@]", name)[0] if "reference" in where else name) or "checkpoint"
    )
