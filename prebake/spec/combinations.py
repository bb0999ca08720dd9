"""Combinations that no image can be built from, looked for in the raw document so that one fault hides no other."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from prebake.errors import Problem
from prebake.spec.buckets import bucketed_graphs, buckets_to_speak_of, one_set_of_axes
from prebake.spec.by_torch import torch_components, torch_targets
from prebake.spec.components import calibration, have_weights, one_graph_twice, published_graphs, published_types
from prebake.spec.image import OWN
from prebake.spec.raw import mapping, placed, sources, texts
from prebake.spec.yamlfile import Document


def find_impossible(document: Document) -> list[Problem]:
    """Every impossible combination; fields of a wrong type are passed over, being reported already."""
    data = document.data
    if not isinstance(data, dict):
        return []
    checks = (
        _one_or_several,
        _default_checkpoint,
        _shipped_files,
        _one_file_twice,
        have_weights,
        published_graphs,
        one_graph_twice,
        calibration,
        published_types,
        one_set_of_axes,
        buckets_to_speak_of,
        bucketed_graphs,
        torch_targets,
        torch_components,
        _licence_text,
    )
    return [problem for check in checks for problem in check(document, data)]


def _one_or_several(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """A model of its own, or others of the project's: what each of those says is not said again."""
    if "models" not in data:
        yield from (Problem(document.place((key,)), "is missing") for key in OWN if key not in data)
        return
    for key in (*OWN, "base", "system", "runtime", "compiled", "code", "warmup", "limits"):
        if key in data:
            yield Problem(document.place((key,)), "is given beside models", f"it is {_said_by(data['models'])} to say")


def _said_by(models: Any) -> str:
    names = [str(name) for name in models] if isinstance(models, dict) else []
    return " and ".join(f"images/{name}/image.yaml" for name in names) or "each model's own image.yaml"


def _default_checkpoint(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    names = list(mapping(data.get("checkpoints")))
    default = data.get("checkpoint")
    if isinstance(default, str) and names and default not in names:
        near = difflib.get_close_matches(default, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
        yield Problem(document.place(("checkpoint",)), f"no checkpoint is called {default!r}", hint)


def _shipped_files(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    for name, index, source in sources(data):
        files = texts(source.get("files"))
        for file in texts(source.get("ship")):
            if file not in files:
                near = difflib.get_close_matches(file, files, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "add it to files"
                yield Problem(
                    document.place(("checkpoints", name, "sources", index, "ship")),
                    f"ships {file!r}, which is not among files",
                    hint,
                )
            elif file.endswith((".pth", ".pt", ".bin", ".ckpt", ".pkl")):
                yield Problem(
                    document.place(("checkpoints", name, "sources", index, "ship")),
                    f"ships the pickle {file!r}",
                    "an image carries safetensors or ONNX only: leave it out of ship and convert it in export.py",
                )


def _one_file_twice(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    seen: dict[tuple[str, str], int] = {}
    for name, index, source in sources(data):
        for file in placed(source, "files"):
            if (name, file) in seen:
                first = f"sources[{seen[name, file]}]"
                yield Problem(
                    document.place(("checkpoints", name, "sources", index, "files")), f"{file!r} comes from {first} too"
                )
            seen[name, file] = index


def _licence_text(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    for name, checkpoint in mapping(data.get("checkpoints")).items():
        licence = mapping(mapping(checkpoint).get("licence"))
        if licence.get("acceptance") is True and not licence.get("text"):
            yield Problem(
                document.place(("checkpoints", name, "licence")),
                "asks for acceptance and names no text to read",
                "add `text: README.md`",
            )
