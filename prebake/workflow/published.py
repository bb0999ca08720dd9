"""Which of a publisher's files ``prebake init`` fetches, judged by their names alone: before any of them is downloaded."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prebake.errors import Problem
from prebake.workflow.beginnings.beginning import InitRefused, refuse
from prebake.workflow.beginnings.forms import group_forms

_DOCUMENT = re.compile(r"(.*/)?([^/]+\.(json|txt|model)|README\.md|LICENSE(\.md)?|NOTICE)")
_NUMBER = re.compile(r"-\d+-of-\d+(?=\.)")
_PART = rf"({_NUMBER.pattern})?"
_NETWORKS = (
    re.compile(rf"(.*/)?(model|diffusion_pytorch_model){_PART}\.safetensors"),
    re.compile(rf"(.*/)?(pytorch_model|diffusion_pytorch_model){_PART}\.bin"),
)
_GRAPH = re.compile(r"(.*/)?[^/]+\.onnx")
_PROGRAM = re.compile(r"[^/]+\.(pt2|pt|pth|ts|torchscript)")
_UNSERVED = ("safety_checker/", "image_encoder/")  # parts of a pipeline that init bakes none of
_NAME_ONE = "name the one to be served: --file FILE"


@dataclass(frozen=True)
class Choice:
    """What to fetch: ``documents`` before ``weights``. Files that graphs keep tensors in are not among them: only the graph
    tells their names. ``left`` are other forms of what is taken."""

    documents: tuple[str, ...]
    weights: tuple[str, ...]
    left: tuple[str, ...] = ()

    @property
    def needs_documents(self) -> bool:
        """Weights without a program, which their documents have to make sense of."""
        return any(name.endswith((".safetensors", ".bin")) for name in self.weights)


def choose(names: Sequence[str], wanted: str, where: str) -> Choice:
    """Of the files at ``where``, the one called ``wanted``, those of the folder called so, or those that count of all.

    Raises InitRefused if there is no such file or folder, or the names do not tell which of several is to be served.
    """
    if wanted in names:
        alone = Choice((), (wanted,))
        return Choice(_documents(names), (wanted,)) if alone.needs_documents else alone
    inside = [name for name in names if name.startswith(f"{wanted}/")] if wanted else list(names)
    if wanted and not inside:
        raise _absent(names, wanted, where)
    weights = choose_weights(inside)
    if weights:
        return Choice(_documents(inside), tuple(weights))
    graphs, left = _choose_graphs([name for name in inside if _GRAPH.fullmatch(name)], where)
    return Choice(_documents(inside), tuple(graphs or _choose_program(inside, where)), tuple(left))


def choose_weights(names: Iterable[str]) -> list[str]:
    """Of the forms that a checkpoint is published in, safetensors before pickles and a whole file before the same in parts: of
    each folder, as a pipeline may have parts of either."""
    names, chosen = list(names), list[str]()
    for form in _NETWORKS:
        folders = {_folder(name) for name in chosen}
        found = [name for name in names if form.fullmatch(name) and _folder(name) not in folders]
        chosen += [name for name in found if _NUMBER.sub("", name) == name or _NUMBER.sub("", name) not in found]
    return [name for name in chosen if not name.startswith(_UNSERVED)]


def _choose_graphs(names: Sequence[str], where: str) -> tuple[list[str], list[str]]:
    """The graphs to take, and other forms of them. Raises InitRefused for every form of a graph that has no plain one."""
    groups = group_forms(names)
    problems = [
        Problem(name, "is one form of a graph, and no name tells which is to be served")
        for group in groups
        for name in group.names
        if group.plain is None
    ]
    refuse(f"{where} holds one graph in several forms; none was downloaded:", problems, _NAME_ONE)
    taken = [group.plain for group in groups if group.plain is not None]
    return taken, [name for group in groups for name in group.names if name != group.plain]


def _choose_program(names: Sequence[str], where: str) -> list[str]:
    found = [name for name in names if _PROGRAM.fullmatch(name)]
    several = [Problem(name, "is a torch file") for name in found] if len(found) > 1 else []
    refuse(f"{where} holds several torch files; none was downloaded:", several, _NAME_ONE)
    return found


def _absent(names: Sequence[str], wanted: str, where: str) -> InitRefused:
    serves: list[Callable[[str], object]] = [
        _GRAPH.fullmatch,
        _PROGRAM.fullmatch,
        *(each.fullmatch for each in _NETWORKS),
    ]
    served = [name for name in names if any(fits(name) for fits in serves)]
    near = difflib.get_close_matches(wanted, names, n=1) or served[:20]
    hint = f"; it has {', '.join(near)}" if near else ""
    return InitRefused(f"{where} has no file or folder {wanted}{hint}.", next_action=_NAME_ONE)


def _documents(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if _DOCUMENT.fullmatch(name))


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
