"""An image of published graphs alone, whatever wrote them: spec, README and a sample input, and no Python."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prebake.errors import Problem
from prebake.render.environment import render_template
from prebake.spec.project import read_templates
from prebake.workflow.beginnings.beginning import Asked, InitRefused, refuse

if TYPE_CHECKING:
    from prebake.bake.signature import Signature

SAMPLE_LIMIT = 4096  # numbers of a sample that a person would still want to read
_TEXTS = {"image.yaml": "init/graphs.yaml.j2", "README.md": "init/graphs.md.j2"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Part:
    """A graph of the checkpoint: its component's ``name``, the ``kind`` of field that names it in the spec (``onnx``,
    ``torch``), its ``file`` and every file that it needs, relative to the folder; a ``sample`` as sample.json has it; what it was
    ``declared`` to take."""

    name: str
    kind: str
    file: str
    files: tuple[str, ...]
    signature: Signature
    sample: Mapping[str, Any] | None = None
    declared: Mapping[str, str] = field(default_factory=dict)


def write_graphs(
    asked: Asked, folder: Path, title: str, parts: Sequence[Part], given: Iterable[str] = ()
) -> Mapping[str, bytes]:
    """The files of the image's folder, beside those of a sample that the user has ``given``."""
    samples = {part.name: dict(part.sample) for part in parts if part.sample is not None}
    values: dict[str, Any] = {
        **asked.values(folder, title),
        "files": sorted({file for part in parts for file in part.files}),
        "parts": parts,
        "samples": sorted([*given, *(["sample.json"] if samples else [])], key=_last),
    }
    templates = read_templates(asked.root)
    files = {name: render_template(templates, template, values).encode() for name, template in _TEXTS.items()}
    return {**files, **({"sample.json": json.dumps(samples, indent=1).encode() + b"\n"} if samples else {})}


def _last(name: str) -> tuple[bool, str]:
    """The sample comes after the files that it names."""
    return name.startswith("sample."), name


def name_parts(folder: Path, graphs: Sequence[Path]) -> Mapping[str, Path]:
    """Components by name: a file's own, or its folder's where that has one graph, called ``model``. Raises InitRefused."""
    names = {
        graph: _name(graph.stem if graph.parent == folder or graph.stem != "model" else graph.parent.name)
        for graph in graphs
    }
    counts = Counter(names.values())
    places = {graph: str(graph.relative_to(folder)) for graph in graphs}
    problems = [
        Problem(places[graph], f"would be the component {name!r}", "rename it: letters, digits and _, a letter first")
        for graph, name in names.items()
        if counts[name] > 1 or not _NAME.fullmatch(name)
    ]
    refuse(
        f"The graphs of {folder} do not make components:",
        problems,
        "give each a name of its own, or name one by --from",
    )
    return {name: graph for graph, name in names.items()}


def needs(error: ImportError, what: str) -> InitRefused:
    """Looking into a graph takes what only the stages of a build bring themselves."""
    return InitRefused(
        f"Looking into {what} needs {error.name}, which is not installed.",
        next_action="pip install 'prebake[models]'",
    )


def _name(words: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "_", words.lower()).strip("_")
