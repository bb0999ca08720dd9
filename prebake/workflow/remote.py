"""A checkpoint that ``prebake init`` begins with where it is published: its documents, then the weights that count."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from prebake.checkpoints.fetch import bring
from prebake.checkpoints.progress import terminal_progress
from prebake.checkpoints.source import Lister, RemoteFile, Sources, find_source
from prebake.checkpoints.store import Store, default_root
from prebake.errors import SpecInvalid
from prebake.spec.reading import parse_source
from prebake.spec.sources import Source
from prebake.workflow.beginnings.beginning import Asked, InitRefused
from prebake.workflow.sources import open_sources
from prebake.workflow.steps import Tell

_KINDS = ("hub", "modelscope", "s3", "gs", "oci", "http")
FORMS = "hub:OWNER/NAME[@REVISION], modelscope:OWNER/NAME[@REVISION], s3://…, gs://…, oci:HOST/PATH:TAG or the URL of a file"
_BRANCHES = {"hub": "main", "modelscope": "master"}  # what they call the one that is published
# Paths that a spec can name, at most two folders deep.
_PATH = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*){0,2}")
_DOCUMENT = re.compile(r"(.*/)?([^/]+\.(json|txt|model)|README\.md|LICENSE(\.md)?|NOTICE)")
_PART = r"(-\d+-of-\d+)?"
_WEIGHTS = (
    re.compile(rf"(.*/)?(model|diffusion_pytorch_model){_PART}\.safetensors"),
    re.compile(rf"(.*/)?(pytorch_model|diffusion_pytorch_model){_PART}\.bin"),
    re.compile(r"(.*/)?[^/]+\.onnx([._]data)?"),
    re.compile(r"[^/]+\.(pt2|pt|pth|ts|torchscript)"),
)
_UNSERVED = ("safety_checker/", "image_encoder/")  # parts of a pipeline that init bakes none of


@contextmanager
def fetched(asked: Asked, tell: Tell, check: Callable[[Path], None]) -> Iterator[tuple[Path, Asked]]:
    """The checkpoint as a folder or file of this machine, while the block lasts, and what is asked of it.

    ``check`` looks at a folder that has the documents only. Raises InitRefused, SourceError or NoNetwork.
    """
    where = parse_origin(asked.origin)
    if where is None:
        yield Path(asked.origin), asked
        return
    store = Store(default_root())
    with store.in_use(), store.folder() as folder, open_sources(asked.root, asked.name) as sources:
        inside = folder / _title(where)
        inside.mkdir()
        names = _names(where, sources)
        documents = [name for name in names if _DOCUMENT.fullmatch(name)]
        tell(f"init: {asked.origin} has {len(names)} files; fetching its documents")
        _bring(where, documents, inside, store, sources)
        weights = choose_weights(names)
        if any(name.endswith((".safetensors", ".bin")) for name in weights):  # graphs and programs need no documents
            check(inside)
        _bring(where, weights, inside, store, sources)
        _bring(where, _beside_graphs(names, inside), inside, store, sources)
        yield inside, replace(asked, remote=where)


def parse_origin(text: str) -> Mapping[str, str] | None:
    """The fields of a spec's source; None for a path. Raises InitRefused for what is neither."""
    kind, colon, rest = text.partition(":")
    kind = "http" if kind == "https" else kind
    if not colon or kind not in _KINDS:
        return None
    if kind in _BRANCHES:
        repository, _, revision = rest.partition("@")
        where = {"repository": repository, "revision": revision or _BRANCHES[kind]}
    else:
        where = {"reference": rest} if kind == "oci" else {"url": text}
    given = {"from": kind, **where}
    try:
        _spec(given, ("any",))
    except SpecInvalid as error:
        raise InitRefused(f"{text} names no {kind} source.", next_action=f"give a path, {FORMS}") from error
    return given


def choose_weights(names: Sequence[str]) -> list[str]:
    """Of the forms that a checkpoint is published in, the first of safetensors, pickles, ONNX and torch files: of each folder,
    as a pipeline may have parts of either."""
    chosen: list[str] = []
    for form in _WEIGHTS[:2]:
        folders = {_folder(name) for name in chosen}
        chosen += [name for name in names if form.fullmatch(name) and _folder(name) not in folders]
    chosen = [name for name in chosen if not name.startswith(_UNSERVED)]
    for form in _WEIGHTS[2:]:
        chosen = chosen or [name for name in names if form.fullmatch(name)]
    return chosen


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


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
