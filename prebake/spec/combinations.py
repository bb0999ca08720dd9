"""Combinations that no image can be built from, looked for in the raw document so that one fault hides no other."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from prebake.errors import Problem
from prebake.spec.image import OWN
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


def _one_or_several(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """A model of its own, or others of the project's: what each of those says is not said again."""
    if "models" not in data:
        yield from (Problem(document.place((key,)), "is missing") for key in OWN if key not in data)
        return
    for key in (*OWN, "base", "code", "limits"):
        if key in data:
            yield Problem(document.place((key,)), "is given beside models", f"it is {_said_by(data['models'])} to say")


def _said_by(models: Any) -> str:
    names = [str(name) for name in models] if isinstance(models, dict) else []
    return " and ".join(f"images/{name}/image.yaml" for name in names) or "each model's own image.yaml"


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
            made = _mapping(settings).get("derived") is True or _mapping(settings).get("onnx")
            if not made and folder not in folders:
                yield Problem(
                    document.place(("components", component)),
                    f"checkpoint {checkpoint!r} ships no {folder}/*.safetensors for it",
                    "ship the file, or say `derived: true` where export.py converts it",
                )


def _published_graphs(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """An ``onnx`` file has to be in every checkpoint, and code has to be there for a component that names none."""
    components = _mapping(data.get("components"))
    files: dict[str, list[str]] = {}
    for name, _, source in _sources(data):
        files.setdefault(name, []).extend(placed(source, "files"))
    for component, settings in components.items():
        wanted = _mapping(settings).get("onnx")
        for checkpoint, paths in files.items():
            if isinstance(wanted, str) and wanted not in paths:
                near = difflib.get_close_matches(wanted, paths, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "add it to the files of a source"
                where = document.place(("components", component, "onnx"))
                yield Problem(where, f"checkpoint {checkpoint!r} has no file {wanted!r}", hint)
    exported = _mapping(data.get("code")).get("export", ["export.py"])
    if isinstance(exported, list) and not any(str(file).endswith(".py") for file in exported):
        for component, settings in components.items():
            if not _mapping(settings).get("onnx"):
                where = document.place(("components", component))
                yield Problem(where, "nothing exports it", "name its `onnx` file, or list an export.py in code.export")


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
