"""What torch is to serve, and cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prebake.errors import Problem
from prebake.spec.raw import mapping, placed, precisions, sources, texts
from prebake.spec.yamlfile import Document


def torch_targets(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    named = mapping(data.get("runtime"))
    for target in named:
        where = document.place(("runtime", target))
        if isinstance(data.get("targets"), list) and target not in texts(data.get("targets")):
            yield Problem(where, f"targets does not name {target!r}", "add it there, or leave it out here")
        if target == "tensorrt" and named[target] == "torch":
            yield Problem(where, "torch runs no TensorRT engines", "say cuda, or onnxruntime")
    for target in mapping(data.get("compiled")):
        if named.get(target) != "torch":
            where, what = document.place(("compiled", target)), f"torch does not serve {target!r}"
            yield Problem(where, what, "say so under runtime, or leave it out here")


def torch_components(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """Torch loads a component from ``config.json`` and safetensors, as published, in the folder of the component."""
    if "torch" in mapping(data.get("runtime")).values():
        yield from _files(document, data)
        yield from _types(document, data)
        yield from _code(document, data)


def _files(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    folders: dict[str, list[tuple[str, str]]] = {}
    for name, _, source in sources(data):
        paths = (file.rpartition("/") for file in placed(source, "files"))
        folders.setdefault(name, []).extend((folder, file) for folder, _, file in paths)
    for component, settings in mapping(data.get("components")).items():
        folder = mapping(settings).get("folder") or component
        for checkpoint, files in folders.items():
            own = [file for place, file in files if place == folder]
            lacking = [] if "config.json" in own else [f"{folder}/config.json"]
            lacking += [] if any(file.endswith(".safetensors") for file in own) else [f"{folder}/*.safetensors"]
            if lacking:
                where = document.place(("components", component))
                what = f"torch serves it, and checkpoint {checkpoint!r} has no {' and no '.join(lacking)}"
                yield Problem(where, what, "add it to the files of a source, or let onnxruntime serve")


def _types(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    for component, _, precision in precisions(data):
        if precision.get("type") in ("int8", "int4"):
            where, what = ("components", component, "precision"), f"torch serves it, and not in {precision['type']}"
            yield Problem(document.place(where), what, "say fp32, fp16 or bf16, or let onnxruntime serve")


def _code(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    if not any(pattern.endswith(".py") for pattern in texts(mapping(data.get("code")).get("torch"))):
        where = document.place(("runtime",))
        yield Problem(where, "nothing builds networks in torch", "list a model_torch.py in code.torch")
