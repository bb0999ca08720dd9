"""Graphs that are published as ONNX: their image needs no Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prebake.errors import Problem
from prebake.workflow.beginnings.beginning import Asked, refuse
from prebake.workflow.beginnings.forms import group_forms
from prebake.workflow.beginnings.graphs import name_parts, needs, write_graphs


def recognise(path: Path) -> PublishedGraphs | None:
    """An ONNX file, or those of a folder and of the folders in it. Raises InitRefused where some are forms of one graph."""
    if path.is_file():
        graph = _beside_its_data(path)
        return PublishedGraphs(graph.parent, (graph,)) if path.suffix == ".onnx" else None
    found = sorted([*path.glob("*.onnx"), *path.glob("*/*.onnx"), *path.glob("*/*/*.onnx")])
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


def _beside_its_data(path: Path) -> Path:
    """The graph that a link leads to, if the files that it keeps tensors in lie there and not beside the link."""
    while path.suffix == ".onnx" and path.is_symlink():
        target = path.parent / path.readlink()
        if target.suffix != ".onnx" or all((path.parent / name).is_file() for name in _read_data_names(path)):
            break  # a hub's cache names its blobs by their checksums, and has the data beside the link
        path = target
    return path


def _read_data_names(graph: Path) -> list[str]:
    try:
        from prebake.bake.graph_files import external_files
    except ImportError as error:
        raise needs(error, "an ONNX file") from error
    return external_files(graph)


def _check_forms(folder: Path, graphs: Sequence[Path]) -> None:
    problems = list(_forms([graph.relative_to(folder).as_posix() for graph in graphs]))
    refuse(f"{folder} holds one graph in several forms:", problems, "name the one to be served by --from, or by --file")


def _forms(names: Sequence[str]) -> Iterator[Problem]:
    for group in group_forms(names):
        plain = group.plain or group.names[0]
        yield from (Problem(name, f"is a form of {plain}") for name in group.names if name != plain)
