"""Graphs that are published as ONNX: their image needs no Python."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prebake.errors import Problem
from prebake.workflow.beginnings.beginning import Asked, refuse
from prebake.workflow.beginnings.graphs import name_parts, needs, write_graphs

# What exporters append to the name of a graph of which they write another form.
_FORM = re.compile(r"[_-](fp16|float16|fp32|bf16|int8|uint8|quantized|quant|q4|q4f16|bnb4|[oO][1-4]|optimized)$")


def recognise(path: Path) -> PublishedGraphs | None:
    """An ONNX file, or those of a folder and of the folders in it. Raises InitRefused where some are forms of one graph."""
    if path.is_file():
        return PublishedGraphs(path.parent, (path,)) if path.suffix == ".onnx" else None
    found = sorted([*path.glob("*.onnx"), *path.glob("*/*.onnx")])
    _check_forms(path, found)
    return PublishedGraphs(path, tuple(found)) if found else None


@dataclass(frozen=True)
class PublishedGraphs:
    """``.onnx`` files below ``folder``: a component each."""

    folder: Path
    graphs: tuple[Path, ...]

    def check(self) -> None:
        """It has no documents."""

    def write(self, asked: Asked) -> Mapping[str, bytes]:
        """Spec, README, and a sample that every graph runs on. Raises GraphRefused with every problem of all graphs."""
        alone = len(self.graphs) == 1
        names = {asked.name: self.graphs[0]} if alone else name_parts(self.folder, self.graphs)
        title = self.graphs[0].stem if alone and self.graphs[0].stem != "model" else asked.name
        try:
            from prebake.workflow.beginnings.onnx_samples import look_into
        except ImportError as error:
            raise needs(error, "an ONNX file") from error
        parts, given = look_into(asked, self.folder, names)
        return {**write_graphs(asked, self.folder, title, parts, given), **given}


def _check_forms(folder: Path, graphs: Sequence[Path]) -> None:
    problems = [Problem(str(form.relative_to(folder)), f"is a form of {graph.name}") for graph, form in _forms(graphs)]
    refuse(f"{folder} holds one graph in several forms:", problems, "name the one to be served by --from")


def _forms(graphs: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    for form in graphs:
        plain = form.with_name(_FORM.sub("", form.stem) + ".onnx")
        if plain != form and plain in graphs:
            yield plain, form
