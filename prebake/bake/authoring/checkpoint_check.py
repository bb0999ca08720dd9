"""Checks that the weight files of a multi-folder checkpoint match its configuration files.

Reports every problem at once, by file and tensor, before any weights are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from prebake.bake.errors import WeightsError
from prebake.bake.weights.safetensors_reader import TensorRegion, read_index
from prebake.errors import Problem

Document = Mapping[str, Any]


@dataclass(frozen=True)
class PipelinePart:
    """One configuration file of a checkpoint and the weights that belong to it."""

    document: str
    """Path of the configuration file, which holds a JSON object."""
    build: Callable[[Document], Any] = dict
    """Builds an object from the configuration: a torch module, on the meta device, if there are weights. May raise anything."""
    weights: str = ""
    """Path of the weight file without ``.safetensors``. If an index lies beside it, the files in the index are read."""
    rename: Callable[[str], str] = str
    """Maps a tensor name of the file to the module's name."""
    unused_prefixes: tuple[str, ...] = ()
    """Tensors of the file that start with one of these are ignored."""
    optional_suffixes: tuple[str, ...] = ()
    """Tensors of the module that end with one of these may be missing from the files."""


@dataclass
class CheckpointInspection:
    """Results by part name. A part whose file is missing or invalid has no entry."""

    documents: dict[str, Document] = field(default_factory=dict)
    built: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Mapping[str, TensorRegion]] = field(default_factory=dict)
    """Tensors by the path of their weight file, for each file that could be read."""
    problems: list[Problem] = field(default_factory=list)


def inspect_checkpoint(folder: Path, parts: Mapping[str, PipelinePart]) -> CheckpointInspection:
    """Read each configuration file and the header of each weight file. Raises nothing: see ``problems`` of the result."""
    inspection = CheckpointInspection()
    for name, part in parts.items():
        inspection.problems += _read_document(folder, name, part, inspection)
        if part.weights:
            inspection.problems += _read_weights(folder, name, part, inspection)
    return inspection


def raise_problems(problems: Sequence[Problem], heading: str) -> None:
    """Raise WeightsError that lists ``problems``, if there are any."""
    if problems:
        raise WeightsError(
            "\n".join([heading, *(f"  {problem}" for problem in problems)]),
            next_action="fetch all files listed from the same revision, or correct image.yaml",
        )


def _read_document(folder: Path, name: str, part: PipelinePart, inspection: CheckpointInspection) -> Iterator[Problem]:
    try:
        document = json.loads((folder / part.document).read_bytes())
    except OSError:
        yield Problem(part.document, "is missing")
        return
    except ValueError as error:
        yield Problem(part.document, f"is not valid JSON: {error}")
        return
    if not isinstance(document, dict):
        yield Problem(part.document, "is not a JSON object")
        return
    inspection.documents[name] = document
    try:
        with torch.device("meta") if part.weights else nullcontext():
            inspection.built[name] = part.build(document)
    except Exception as error:  # the libraries raise any exception for an invalid configuration
        yield Problem(part.document, f"cannot be used: {type(error).__name__}: {str(error).strip()[:500]}")


def _read_weights(folder: Path, name: str, part: PipelinePart, inspection: CheckpointInspection) -> Iterator[Problem]:
    try:
        files = _weight_files(folder, part.weights)
    except (ValueError, TypeError, KeyError, AttributeError):
        yield Problem(_index_path(part.weights), "is not an index of weight files")
        return
    readable: dict[str, Mapping[str, TensorRegion]] = {}
    for path in files:
        try:
            readable[path] = read_index(folder / path)
        except OSError:
            yield Problem(path, "is missing")
        except WeightsError as error:
            yield Problem(path, error.message.removeprefix(f"{folder / path} "))
    inspection.tensors |= readable
    if name in inspection.built:
        shapes = {tensor: tuple(value.shape) for tensor, value in inspection.built[name].state_dict().items()}
        yield from _compare_tensors(part, shapes, readable, complete=len(readable) == len(files))


def _weight_files(folder: Path, weights: str) -> Collection[str]:
    if not (folder / _index_path(weights)).is_file():
        return [f"{weights}.safetensors"]
    names = set(json.loads((folder / _index_path(weights)).read_bytes())["weight_map"].values())
    return sorted(weights.rpartition("/")[0] + f"/{name}" for name in names)


def _index_path(weights: str) -> str:
    return f"{weights}.safetensors.index.json"


def _compare_tensors(
    part: PipelinePart,
    expected: Mapping[str, tuple[int, ...]],
    files: Mapping[str, Mapping[str, TensorRegion]],
    *,
    complete: bool,
) -> Iterator[Problem]:
    """The module's tensors against those of the files. If a file is missing, missing tensors are not reported."""
    present: set[str] = set()
    for path, tensors in files.items():
        for published, tensor in sorted(tensors.items()):
            name = part.rename(published)
            present.add(name)
            if name not in expected and not published.startswith(part.unused_prefixes):
                yield Problem(f"{path}: {published}", f"is not a tensor of {part.document}")
            elif expected.get(name, tensor.shape) != tensor.shape:
                fault = f"has shape {list(tensor.shape)}, but {part.document} gives {list(expected[name])}"
                yield Problem(f"{path}: {published}", fault)
    for name in sorted(expected.keys() - present) if complete else ():
        if not name.endswith(part.optional_suffixes):
            fault = f"is in no weight file; {part.document} gives it the shape {list(expected[name])}"
            yield Problem(f"{part.document.rpartition('/')[0]}: {name}", fault)
