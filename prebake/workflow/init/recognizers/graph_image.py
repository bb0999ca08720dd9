"""An image of published graphs without Python: spec, README and a sample input."""

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
from prebake.workflow.init.recognizers.recognizer import ImageDraft, InitRefused, refuse

if TYPE_CHECKING:
    from prebake.bake.importers.signature import Signature

SAMPLE_LIMIT = 4096  # elements of a sample that a person still reads
_TEXTS = {"image.yaml": "init/graphs.yaml.j2", "README.md": "init/graphs.md.j2"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class GraphFile:
    """A graph of the checkpoint and its component.

    name: the component's. kind: the spec's key for the graph, ``onnx`` or ``torch``. file, files: the graph, and the graph with
    its external data, relative to the folder. sample: inputs as in sample.json. declared: inputs' types from ``--input``.
    """

    name: str
    kind: str
    file: str
    files: tuple[str, ...]
    signature: Signature
    sample: Mapping[str, Any] | None = None
    declared: Mapping[str, str] = field(default_factory=dict)


def write_graph_image(
    draft: ImageDraft, folder: Path, title: str, parts: Sequence[GraphFile], given: Iterable[str] = ()
) -> Mapping[str, bytes]:
    """The files of the image's folder, without the user's sample files, whose names are ``given``."""
    samples = {part.name: dict(part.sample) for part in parts if part.sample is not None}
    values: dict[str, Any] = {
        **draft.values(folder, title),
        "files": sorted({file for part in parts for file in part.files}),
        "parts": parts,
        "samples": sorted([*given, *(["sample.json"] if samples else [])], key=_last),
    }
    templates = read_templates(draft.request.root)
    files = {name: render_template(templates, template, values).encode() for name, template in _TEXTS.items()}
    return {**files, **({"sample.json": json.dumps(samples, indent=1).encode() + b"\n"} if samples else {})}


def _last(name: str) -> tuple[bool, str]:
    """Sort the sample behind the files that it names."""
    return name.startswith("sample."), name


def name_components(folder: Path, graphs: Sequence[Path]) -> Mapping[str, Path]:
    """Graphs by component name: the file's name, or its folder's for ``model.onnx``. Raises InitRefused."""
    names = {
        graph: _name(graph.stem if graph.parent == folder or graph.stem != "model" else graph.parent.name)
        for graph in graphs
    }
    counts = Counter(names.values())
    places = {graph: str(graph.relative_to(folder)) for graph in graphs}
    problems = [
        Problem(
            places[graph], f"would become the component {name!r}", "rename it: letters, digits and _, a letter first"
        )
        for graph, name in names.items()
        if counts[name] > 1 or not _NAME.fullmatch(name)
    ]
    refuse(
        f"The file names of the graphs in {folder} are not valid component names:",
        problems,
        "rename the files so that each has its own name, or choose one by --from",
    )
    return {name: graph for graph, name in names.items()}


def missing_package(error: ImportError, what: str) -> InitRefused:
    """The error for a package that reading a graph needs; in a build the export stage brings it."""
    return InitRefused(
        f"Reading {what} needs {error.name}, which is not installed.",
        next_action="pip install 'prebake[models]'",
    )


def _name(words: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "_", words.lower()).strip("_")
