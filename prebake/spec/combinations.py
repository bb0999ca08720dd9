"""Combinations that no image can be built from, looked for in the raw document so that one fault hides no other."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from prebake.errors import Problem
from prebake.spec.yamlfile import Document

_GRAPHS = ("onnx", "torch")  # a component's fields that name a published graph


def find_impossible(document: Document) -> list[Problem]:
    """Every impossible combination; fields of a wrong type are passed over, being reported already."""
    data = document.data if isinstance(document.data, dict) else {}
    checks = (
        _default_checkpoint,
        _shipped_files,
        _one_file_twice,
        _components_have_weights,
        _published_graphs,
        _one_graph_twice,
        _bf16_on_cpu,
        _licence_text,
    )
    return [problem for check in checks for problem in check(document, data)]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _sources(data: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    for name, checkpoint in _mapping(data.get("checkpoints")).items():
        sources = _mapping(checkpoint).get("sources")
        for index, source in enumerate(sources if isinstance(sources, list) else []):
            yield name, index, _mapping(source)


def placed(source: Mapping[str, Any], key: str) -> list[str]:
    """The paths of a source's ``files`` or ``ship`` in the checkpoint, its ``to`` put in front."""
    folder = source.get("to")
    return [f"{folder}/{file}" if isinstance(folder, str) else file for file in _texts(source.get(key))]


def _default_checkpoint(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    names = list(_mapping(data.get("checkpoints")))
    default = data.get("checkpoint")
    if isinstance(default, str) and names and default not in names:
        near = difflib.get_close_matches(default, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
        yield Problem(document.place(("checkpoint",)), f"no checkpoint is called {default!r}", hint)


def _shipped_files(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    for name, index, source in _sources(data):
        files = _texts(source.get("files"))
        for file in _texts(source.get("ship")):
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
    for name, index, source in _sources(data):
        for file in placed(source, "files"):
            if (name, file) in seen:
                first = f"sources[{seen[name, file]}]"
                yield Problem(
                    document.place(("checkpoints", name, "sources", index, "files")), f"{file!r} comes from {first} too"
                )
            seen[name, file] = index


def _components_have_weights(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    shipped: dict[str, set[str]] = {}
    for name, _, source in _sources(data):
        folders = {
            file.split("/")[0] for file in placed(source, "ship") if file.endswith(".safetensors") and "/" in file
        }
        shipped.setdefault(name, set()).update(folders)
    for component, settings in _mapping(data.get("components")).items():
        folder = _mapping(settings).get("folder") or component
        for checkpoint, folders in shipped.items():
            made = _mapping(settings).get("derived") is True or any(_mapping(settings).get(kind) for kind in _GRAPHS)
            if not made and folder not in folders:
                yield Problem(
                    document.place(("components", component)),
                    f"checkpoint {checkpoint!r} ships no {folder}/*.safetensors for it",
                    "ship the file, or say `derived: true` where export.py converts it",
                )


def _published_graphs(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """A published graph has to be in every checkpoint, and code has to be there for a component that names none."""
    components = _mapping(data.get("components"))
    files: dict[str, list[str]] = {}
    for name, _, source in _sources(data):
        files.setdefault(name, []).extend(placed(source, "files"))
    for component, settings in components.items():
        named = {kind: file for kind in _GRAPHS if isinstance(file := _mapping(settings).get(kind), str)}
        for (kind, wanted), (checkpoint, paths) in product(named.items(), files.items()):
            if wanted not in paths:
                near = difflib.get_close_matches(wanted, paths, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "add it to the files of a source"
                where = document.place(("components", component, kind))
                yield Problem(where, f"checkpoint {checkpoint!r} has no file {wanted!r}", hint)
        if len(named) > 1:
            yield Problem(
                document.place(("components", component)), "names two graphs", f"keep one of {', '.join(named)}"
            )
        if _mapping(settings).get("inputs") and "torch" not in named:
            where = document.place(("components", component, "inputs"))
            yield Problem(where, "are for a TorchScript file", "name it by `torch`, or leave them out")
    exported = _mapping(data.get("code")).get("export", ["export.py"])
    if isinstance(exported, list) and not any(str(file).endswith(".py") for file in exported):
        for component, settings in components.items():
            if not any(_mapping(settings).get(kind) for kind in _GRAPHS):
                where = document.place(("components", component))
                advice = "name its `onnx` or `torch` file, or list an export.py in code.export"
                yield Problem(where, "nothing exports it", advice)


def _one_graph_twice(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """A graph lies in its folder as ``model.onnx``, or under its component's name where the folder is another's."""
    for component, settings in _mapping(data.get("components")).items():
        if component == "model" and _mapping(settings).get("folder") not in (None, "model"):
            yield Problem(
                document.place(("components", component)),
                "its graph would be called as that of the folder's own component",
                "call it something else",
            )


def _bf16_on_cpu(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    if "cpu" not in _texts(data.get("targets")):
        return
    for component, settings in _mapping(data.get("components")).items():
        if _mapping(settings).get("precision") in ("bf16", "fp16"):
            yield Problem(
                document.place(("components", component, "precision")),
                "ONNX Runtime's CPU provider computes fp32 only, and targets names cpu",
                "say fp32, or leave cpu out of targets",
            )


def _licence_text(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    for name, checkpoint in _mapping(data.get("checkpoints")).items():
        licence = _mapping(_mapping(checkpoint).get("licence"))
        if licence.get("acceptance") is True and not licence.get("text"):
            yield Problem(
                document.place(("checkpoints", name, "licence")),
                "asks for acceptance and names no text to read",
                "add `text: README.md`",
            )
