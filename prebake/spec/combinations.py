"""Combinations that no image can be built from, looked for in the raw document so that one fault hides no other."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from prebake.errors import Problem
from prebake.spec.image import OWN
from prebake.spec.yamlfile import Document

_GRAPHS = ("onnx", "torch")  # a component's fields that name a published graph


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
        _calibration,
        _published_types,
        _torch_targets,
        _torch_components,
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
    for key in (*OWN, "base", "runtime", "code", "warmup", "limits"):
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
    reduced = {
        name
        for name, settings, precision in _precisions(data)
        if precision.get("type") != "fp32" and settings.get("derived") is not False
    }
    for component, settings in _mapping(data.get("components")).items():
        folder = _mapping(settings).get("folder") or component
        for checkpoint, folders in shipped.items():
            graph = any(_mapping(settings).get(kind) for kind in _GRAPHS)
            made = graph or _mapping(settings).get("derived") is True or component in reduced
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


def _precisions(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Each component's name, its settings and its precision as a mapping."""
    for component, settings in _mapping(data.get("components")).items():
        said = _mapping(settings).get("precision", "fp32")
        yield component, _mapping(settings), {"type": said} if isinstance(said, str) else _mapping(said)


def _calibration(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    for component, settings, precision in _precisions(data):
        where = ("components", component, "precision")
        static = precision.get("activations") == "static"
        if precision.get("type") == "int8" and precision.get("calibration") and not static:
            yield Problem(
                document.place((*where, "calibration")),
                "dynamic activations need no calibration set",
                "drop it, or say `activations: static`",
            )
        if static and any(settings.get(kind) for kind in _GRAPHS) and not precision.get("calibration"):
            yield Problem(
                document.place((*where, "activations")),
                "a published graph has no code that gives a calibration set",
                "name one in `calibration`: an .npz of the image's folder",
            )


def _published_types(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """``derived: false`` beside a precision says that the published file has that type."""
    for component, settings, precision in _precisions(data):
        if settings.get("derived") is False and precision.get("type") in ("int8", "int4"):
            yield Problem(
                document.place(("components", component, "derived")),
                f"no published weights are taken for {precision['type']}: the export stage makes them",
                "drop `derived: false`",
            )


def _by_torch(data: Mapping[str, Any]) -> list[str]:
    """The targets that torch serves."""
    return [target for target, runtime in _mapping(data.get("runtime")).items() if runtime == "torch"]


def _torch_targets(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    named = _mapping(data.get("runtime"))
    for target in named:
        where = document.place(("runtime", target))
        if isinstance(data.get("targets"), list) and target not in _texts(data.get("targets")):
            yield Problem(where, f"targets does not name {target!r}", "add it there, or leave it out here")
        if target == "tensorrt" and named[target] == "torch":
            yield Problem(where, "torch runs no TensorRT engines", "say cuda, or onnxruntime")


def _torch_components(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """Torch loads a component from ``config.json`` and safetensors, as published, in the folder of the component."""
    if not _by_torch(data):
        return
    folders: dict[str, list[tuple[str, str]]] = {}
    for name, _, source in _sources(data):
        paths = (file.rpartition("/") for file in placed(source, "files"))
        folders.setdefault(name, []).extend((folder, file) for folder, _, file in paths)
    for component, settings in _mapping(data.get("components")).items():
        folder = _mapping(settings).get("folder") or component
        for checkpoint, files in folders.items():
            own = [file for place, file in files if place == folder]
            lacking = [] if "config.json" in own else [f"{folder}/config.json"]
            lacking += [] if any(file.endswith(".safetensors") for file in own) else [f"{folder}/*.safetensors"]
            if lacking:
                where = document.place(("components", component))
                what = f"torch serves it, and checkpoint {checkpoint!r} has no {' and no '.join(lacking)}"
                yield Problem(where, what, "add it to the files of a source, or let onnxruntime serve")
    for component, _, precision in _precisions(data):
        if precision.get("type") in ("int8", "int4"):
            where = document.place(("components", component, "precision"))
            yield Problem(
                where,
                f"torch serves it, and not in {precision['type']}",
                "say fp32, fp16 or bf16, or let onnxruntime serve",
            )
    serves = _texts(_mapping(data.get("code")).get("torch"))
    if not any(pattern.endswith(".py") for pattern in serves):
        where = document.place(("runtime",))
        yield Problem(where, "nothing builds networks in torch", "list a model_torch.py in code.torch")


def _licence_text(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    for name, checkpoint in _mapping(data.get("checkpoints")).items():
        licence = _mapping(_mapping(checkpoint).get("licence"))
        if licence.get("acceptance") is True and not licence.get("text"):
            yield Problem(
                document.place(("checkpoints", name, "licence")),
                "asks for acceptance and names no text to read",
                "add `text: README.md`",
            )
