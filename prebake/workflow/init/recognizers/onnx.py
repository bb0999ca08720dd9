"""Published ONNX graphs. Their image needs no Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prebake.errors import Problem
from prebake.workflow.init.recognizers.graph_image import missing_package, name_components, write_graph_image
from prebake.workflow.init.recognizers.graph_variants import group_variants
from prebake.workflow.init.recognizers.recognizer import ImageDraft, refuse


def recognize(path: Path) -> PublishedGraphs | None:
    """An ONNX file, or those of a folder up to two folders deep. Raises InitRefused if some are variants of one graph."""
    if path.is_file():
        graph = _with_external_data(path)
        return PublishedGraphs(graph.parent, (graph,)) if path.suffix == ".onnx" else None
    found = sorted([*path.glob("*.onnx"), *path.glob("*/*.onnx"), *path.glob("*/*/*.onnx")])
    _check_variants(path, found)
    return PublishedGraphs(path, tuple(found)) if found else None


@dataclass(frozen=True)
class PublishedGraphs:
    """``.onnx`` files below ``folder``, one component each."""

    folder: Path
    graphs: tuple[Path, ...]

    def check(self) -> None:
        """There are no documents to check."""

    def write(self, draft: ImageDraft) -> Mapping[str, bytes]:
        """Spec, README, and a sample that every graph runs on. Raises GraphRefused with every problem of all graphs."""
        alone = len(self.graphs) == 1
        names = {draft.request.name: self.graphs[0]} if alone else name_components(self.folder, self.graphs)
        title = self.graphs[0].stem if alone and self.graphs[0].stem != "model" else draft.request.name
        try:
            from prebake.workflow.init.recognizers.onnx_components import inspect_graphs
        except ImportError as error:
            raise missing_package(error, "an ONNX file") from error
        parts, given = inspect_graphs(draft, self.folder, names)
        return {**write_graph_image(draft, self.folder, title, parts, given), **given}


def _with_external_data(path: Path) -> Path:
    """The graph that a link points to, if its external data lies beside that file and not beside the link."""
    while path.suffix == ".onnx" and path.is_symlink():
        target = path.parent / path.readlink()
        if target.suffix != ".onnx" or all((path.parent / name).is_file() for name in _read_data_names(path)):
            break  # in a hub's cache blobs are named by checksums, and the data lies beside the link
        path = target
    return path


def _read_data_names(graph: Path) -> list[str]:
    try:
        from prebake.bake.graphs.onnx_files import find_external_files
    except ImportError as error:
        raise missing_package(error, "an ONNX file") from error
    return find_external_files(graph)


def _check_variants(folder: Path, graphs: Sequence[Path]) -> None:
    problems = list(_find_variants([graph.relative_to(folder).as_posix() for graph in graphs]))
    refuse(f"{folder} has one graph in several variants:", problems, "choose the one to serve by --from or --file")


def _find_variants(names: Sequence[str]) -> Iterator[Problem]:
    for group in group_variants(names):
        plain = group.plain or group.names[0]
        yield from (Problem(name, f"is a variant of {plain}") for name in group.names if name != plain)
