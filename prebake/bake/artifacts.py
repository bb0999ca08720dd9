"""What a machine can compile of a component for itself and its like: the port that compilers implement, and how what they make
is keyed and described."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from entrypoints.shapes import ANY
from prebake.bake.artifact_file import FOLDER, ArtifactFile, label_of
from prebake.bake.component import Session
from prebake.bake.documents import digest_json
from prebake.bake.errors import BakeError
from prebake.bake.graph_files import load
from prebake.bake.manifest import file_entry, reads
from prebake.bake.settings import Settings

MAKERS: Mapping[str, tuple[str, ...]] = {
    "cpu": ("prebake.bake.for_processor:ForProcessor",),
    "cuda": ("prebake.bake.for_cuda:ForCuda",),
    "tensorrt": ("prebake.bake.for_engines:ForEngines", "prebake.bake.for_cuda:ForCuda"),
}
"""By target, the module and class of each maker: best first."""


@dataclass(frozen=True)
class Made:
    """What a maker made: the files of ``folder``, opened by ``graph`` in it. A machine opens it that has these very ``fields``
    and at least ``least``; ``more`` is what else it follows from, such as shape profiles.

    What it has not itself, by paths under /models: ``opens`` is the component's graph, where that is opened; ``weights`` the
    folder that its own graph reads, ``folders`` those that options of the provider name, ``reads`` byte ranges of other files.
    ``scratch``: options that get the path of a copy of its folder, in which the provider may write. ``stands_in_for``: a rung,
    for machines that it does not fit, so that it is kept where that is. ``takes``: which shapes (``entrypoints.shapes``).
    """

    rung: str
    folder: Path
    graph: str
    provider: str
    session: Session
    fields: Mapping[str, str]
    options: Mapping[str, str] = field(default_factory=dict)
    least: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, object] = field(default_factory=dict)
    opens: str = ""
    weights: str = ""
    folders: Mapping[str, str] = field(default_factory=dict)
    reads: Mapping[str, list[list[int]]] = field(default_factory=dict)
    scratch: tuple[str, ...] | None = None
    stands_in_for: str = ""
    takes: str = ANY


class ArtifactMaker(Protocol):
    """Compiles a component's exported graph, whose weights lie beside it, for this machine; files go into ``out`` or into
    folders below it. Nothing is made where the machine lacks what it takes."""

    def make(self, component: str, graph: Path, settings: Settings, out: Path) -> Sequence[Made]: ...


def find_makers(settings: Settings) -> list[ArtifactMaker]:
    """Those of a target's graphs. Raises BakeError where it has none."""
    if settings.target not in MAKERS:
        what = f"graphs on {settings.target}"
        raise BakeError(f"{settings.image}: nothing is compiled apart for {what}.", next_action="Build the image.")
    return [_maker(*place.split(":")) for place in MAKERS[settings.target]]


def _maker(module: str, name: str) -> ArtifactMaker:
    made: ArtifactMaker = getattr(importlib.import_module(module), name)()
    return made


def artifact_fields(component: Mapping[str, object], made: Made) -> dict[str, object]:
    """Everything that an artifact follows from: what the component's graph does, the maker's own choices, and what of the
    machine it is bound to. Its sha256 is the artifact's key. How the component's own graph is opened is not among it."""
    own = {
        "rung": made.rung,
        "provider": made.provider,
        "options": dict(made.options),
        "session": made.session.told,
        "machine": dict(made.fields),
        "more": dict(made.more),
        "places": {"opens": made.opens, "weights": made.weights, "folders": dict(made.folders)},
    }
    return {**component, **own}


def describe(name: str, made: Made, fields: Mapping[str, object], choice: Mapping[str, object]) -> ArtifactFile:
    """What the manifest says of it, at its place in the image; ``choice`` is what was measured (``prebake.bake.worth``)."""
    key = digest_json(fields)
    home = f"{FOLDER}/{name}/{label_of(made.rung, key)}"
    paths = sorted(path for path in made.folder.rglob("*") if path.is_file())
    files = {f"{home}/{path.relative_to(made.folder).as_posix()}": file_entry(path, "compiled") for path in paths}
    graph = made.opens or f"{home}/{made.graph}"
    whole = {path: [[0, file["size"]]] for path, file in files.items() if path != graph}
    beside = {} if made.opens or made.weights else reads(load(made.folder / made.graph), home)
    entry = {
        "rung": made.rung,
        "graph": graph,
        "provider": made.provider,
        "options": dict(made.options),
        "session": made.session.told,
        "fields": dict(made.fields),
        "least": dict(made.least),
        **({"weights": made.weights} if made.weights else {}),
        **({"folders": dict(made.folders)} if made.folders else {}),
        **({} if made.scratch is None else {"scratch": {"folder": home, "options": list(made.scratch)}}),
        "takes": made.takes,
        "reads": {**whole, **beside, **made.reads},
        "key": key,
        "key_fields": dict(fields),
        "choice": dict(choice),
    }
    return ArtifactFile(name, entry, files)
