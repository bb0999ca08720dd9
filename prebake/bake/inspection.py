"""Is a checkpoint of several folders what their documents say? Every fault at once, by file and tensor, before weights are
read."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from prebake.bake.errors import WeightsError
from prebake.bake.safetensors_index import Region, read_index
from prebake.errors import Problem

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """A document of a checkpoint, what it describes, and the weights that belong to it."""

    document: str
    """Its path, of a JSON object."""
    make: Callable[[Document], Any] = dict
    """What it describes: a network, where there are weights, which is made without memory. It may raise anything."""
    weights: str = ""
    """Path of the weight file without ``.safetensors``; where an index lies beside it, of the files that it names."""
    rename: Callable[[str], str] = str
    """A published tensor's name to the network's."""
    unused: tuple[str, ...] = ()
    """How names of published tensors begin that the network does without."""
    spared: tuple[str, ...] = ()
    """How names of the network's tensors end that the files may lack."""


@dataclass
class Inspection:
    """What was found, by the names of the parts. A part that is missing, or none, is not there."""

    documents: dict[str, Document] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Mapping[str, Region]] = field(default_factory=dict)
    """By the path of each weight file that could be read."""
    problems: list[Problem] = field(default_factory=list)


def inspect(folder: Path, parts: Mapping[str, Part]) -> Inspection:
    """Read every document and every header of a weight file. Raises nothing: faults are the result's problems."""
    found = Inspection()
    for name, part in parts.items():
        found.problems += _read(folder, name, part, found)
        if part.weights:
            found.problems += _weights(folder, name, part, found)
    return found


def refuse(problems: Sequence[Problem], heading: str) -> None:
    """Raise WeightsError that lists them, where there are any."""
    if problems:
        raise WeightsError(
            "\n".join([heading, *(f"  {problem}" for problem in problems)]),
            next_action="Fetch the files that are named from one and the same revision, or correct image.yaml.",
        )


def _read(folder: Path, name: str, part: Part, found: Inspection) -> Iterator[Problem]:
    try:
        document = json.loads((folder / part.document).read_bytes())
    except OSError:
        yield Problem(part.document, "is missing")
        return
    except ValueError as error:
        yield Problem(part.document, f"is no JSON: {error}")
        return
    if not isinstance(document, dict):
        yield Problem(part.document, "is no JSON object")
        return
    found.documents[name] = document
    try:
        with torch.device("meta") if part.weights else nullcontext():
            found.made[name] = part.make(document)
    except Exception as error:  # the libraries check a configuration by whatever it makes fail
        yield Problem(part.document, f"cannot be used: {type(error).__name__}: {str(error).strip()[:500]}")


def _weights(folder: Path, name: str, part: Part, found: Inspection) -> Iterator[Problem]:
    try:
        files = _weight_files(folder, part.weights)
    except (ValueError, TypeError, KeyError, AttributeError):
        yield Problem(_index(part.weights), "is no index of weight files")
        return
    there: dict[str, Mapping[str, Region]] = {}
    for path in files:
        try:
            there[path] = read_index(folder / path)
        except OSError:
            yield Problem(path, "is missing")
        except WeightsError as error:
            yield Problem(path, error.message.removeprefix(f"{folder / path} "))
    found.tensors |= there
    if name in found.made:
        shapes = {name: tuple(tensor.shape) for name, tensor in found.made[name].state_dict().items()}
        yield from _differences(part, shapes, there, whole=len(there) == len(files))


def _weight_files(folder: Path, weights: str) -> Collection[str]:
    if not (folder / _index(weights)).is_file():
        return [f"{weights}.safetensors"]
    names = set(json.loads((folder / _index(weights)).read_bytes())["weight_map"].values())
    return sorted(weights.rpartition("/")[0] + f"/{name}" for name in names)


def _index(weights: str) -> str:
    return f"{weights}.safetensors.index.json"


def _differences(
    part: Part, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, Mapping[str, Region]], *, whole: bool
) -> Iterator[Problem]:
    """Tensors that the document describes against those that the files have; without a file, what it lacks is not told."""
    there: set[str] = set()
    for path, tensors in found.items():
        for published, tensor in sorted(tensors.items()):
            name = part.rename(published)
            there.add(name)
            if name not in expected and not published.startswith(part.unused):
                yield Problem(f"{path}: {published}", f"is no tensor of {part.document}")
            elif expected.get(name, tensor.shape) != tensor.shape:
                what = f"is {list(tensor.shape)}, {part.document} says {list(expected[name])}"
                yield Problem(f"{path}: {published}", what)
    for name in sorted(expected.keys() - there) if whole else ():
        if not name.endswith(part.spared):
            what = f"is in no weight file, {part.document} says {list(expected[name])}"
            yield Problem(f"{part.document.rpartition('/')[0]}: {name}", what)
