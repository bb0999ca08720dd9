"""The published files that ``prebake init`` downloads, chosen by their names alone before any download."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prebake.errors import Problem
from prebake.workflow.init.recognizers.graph_variants import group_variants
from prebake.workflow.init.recognizers.recognizer import InitRefused, refuse

_DOCUMENT = re.compile(r"(.*/)?([^/]+\.(json|txt|model)|README\.md|LICENSE(\.md)?|NOTICE)")
_NUMBER = re.compile(r"-\d+-of-\d+(?=\.)")
_PART = rf"({_NUMBER.pattern})?"
_NETWORKS = (
    re.compile(rf"(.*/)?(model|diffusion_pytorch_model){_PART}\.safetensors"),
    re.compile(rf"(.*/)?(pytorch_model|diffusion_pytorch_model){_PART}\.bin"),
)
_GRAPH = re.compile(r"(.*/)?[^/]+\.onnx")
_PROGRAM = re.compile(r"[^/]+\.(pt2|pt|pth|ts|torchscript)")
_UNSERVED = ("safety_checker/", "image_encoder/")  # components of a pipeline that are not baked
_NAME_ONE = "choose the file to serve: --file FILE"


@dataclass(frozen=True)
class ChosenFiles:
    """The files to download: ``documents`` before ``weights``. External data of ONNX graphs is not among them: only the graph has
    its names. ``left_out`` are other variants of the chosen graphs."""

    documents: tuple[str, ...]
    weights: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def needs_documents(self) -> bool:
        """Whether the weights come without a graph, so that documents have to describe the model."""
        return any(name.endswith((".safetensors", ".bin")) for name in self.weights)


def choose_files(names: Sequence[str], wanted: str, where: str) -> ChosenFiles:
    """The file ``wanted`` of those at ``where``, or the files of the folder ``wanted``; if it is empty, the model's files.

    Raises InitRefused if there is no such file or folder, or if the names do not say which of several graphs to serve.
    """
    if wanted in names:
        alone = ChosenFiles((), (wanted,))
        return ChosenFiles(_documents(names), (wanted,)) if alone.needs_documents else alone
    inside = [name for name in names if name.startswith(f"{wanted}/")] if wanted else list(names)
    if wanted and not inside:
        raise _absent(names, wanted, where)
    weights = choose_weight_files(inside)
    if weights:
        return ChosenFiles(_documents(inside), tuple(weights))
    graphs, left = _choose_graphs([name for name in inside if _GRAPH.fullmatch(name)], where)
    return ChosenFiles(_documents(inside), tuple(graphs or _choose_program(inside, where)), tuple(left))


def choose_weight_files(names: Iterable[str]) -> list[str]:
    """The weight files of each folder: safetensors before pickles, and a whole file before its shards."""
    names, chosen = list(names), list[str]()
    for form in _NETWORKS:
        folders = {_folder(name) for name in chosen}
        found = [name for name in names if form.fullmatch(name) and _folder(name) not in folders]
        chosen += [name for name in found if _NUMBER.sub("", name) == name or _NUMBER.sub("", name) not in found]
    return [name for name in chosen if not name.startswith(_UNSERVED)]


def _choose_graphs(names: Sequence[str], where: str) -> tuple[list[str], list[str]]:
    """The graphs to download, and their other variants. Raises InitRefused if no variant of a graph is the plain one."""
    groups = group_variants(names)
    problems = [
        Problem(name, "is one variant of a graph, and the names do not say which variant to serve")
        for group in groups
        for name in group.names
        if group.plain is None
    ]
    refuse(f"{where} has one graph in several variants; init downloaded none of them:", problems, _NAME_ONE)
    taken = [group.plain for group in groups if group.plain is not None]
    return taken, [name for group in groups for name in group.names if name != group.plain]


def _choose_program(names: Sequence[str], where: str) -> list[str]:
    found = [name for name in names if _PROGRAM.fullmatch(name)]
    several = [Problem(name, "is a torch file") for name in found] if len(found) > 1 else []
    refuse(f"{where} has several torch files; init downloaded none of them:", several, _NAME_ONE)
    return found


def _absent(names: Sequence[str], wanted: str, where: str) -> InitRefused:
    serves: list[Callable[[str], object]] = [
        _GRAPH.fullmatch,
        _PROGRAM.fullmatch,
        *(pattern.fullmatch for pattern in _NETWORKS),
    ]
    served = [name for name in names if any(fits(name) for fits in serves)]
    near = difflib.get_close_matches(wanted, names, n=1) or served[:20]
    hint = f"; it has {', '.join(near)}" if near else ""
    return InitRefused(f"{where} has no file or folder {wanted}{hint}.", next_action=_NAME_ONE)


def _documents(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if _DOCUMENT.fullmatch(name))


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
