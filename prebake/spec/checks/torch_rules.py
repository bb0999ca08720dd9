"""Targets and components that torch cannot serve as they are described."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prebake.errors import Problem
from prebake.spec.checks.raw_document import (
    as_mapping,
    as_texts,
    checkpoint_paths,
    list_components,
    list_precisions,
    list_sources,
)
from prebake.spec.yaml_file import Document


def check_torch_targets(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """``runtime`` and ``compiled`` name targets that the image has and that torch can serve."""
    runtime = as_mapping(data.get("runtime"))
    for target in runtime:
        where = document.place(("runtime", target))
        if isinstance(data.get("targets"), list) and target not in as_texts(data.get("targets")):
            yield Problem(where, f"targets does not list {target!r}", "add it there, or remove it here")
        if target == "tensorrt" and runtime[target] == "torch":
            yield Problem(where, "torch runs no TensorRT engines", "write cuda as the target, or onnxruntime")
    for target in as_mapping(data.get("compiled")):
        if runtime.get(target) != "torch":
            where = document.place(("compiled", target))
            hint = f"write `runtime: {{{target}: torch}}`, or remove it here"
            yield Problem(where, f"torch does not serve {target!r}", hint)


def check_torch_components(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """Torch loads a component from the published ``config.json`` and safetensors in the component's folder."""
    if "torch" in as_mapping(data.get("runtime")).values():
        yield from _check_files(document, data)
        yield from _check_precisions(document, data)
        yield from _check_code(document, data)


def _check_files(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    files: dict[str, list[str]] = {}
    for name, _, source in list_sources(data):
        files.setdefault(name, []).extend(checkpoint_paths(source, "files"))
    for component, settings in list_components(data):
        folder = settings.get("folder") or component
        for checkpoint, paths in files.items():
            names = [path.rpartition("/")[2] for path in paths if path.rpartition("/")[0] == folder]
            missing = [] if "config.json" in names else [f"{folder}/config.json"]
            missing += [] if any(name.endswith(".safetensors") for name in names) else [f"{folder}/*.safetensors"]
            if missing:
                where = document.place(("components", component))
                what = f"torch serves it, but checkpoint {checkpoint!r} has no {' and no '.join(missing)}"
                yield Problem(where, what, "add it to the files of a source, or let onnxruntime serve")


def _check_precisions(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    for component, _, precision in list_precisions(data):
        if precision.get("type") in ("int8", "int4"):
            where, what = (
                ("components", component, "precision"),
                f"torch serves it, but cannot compute in {precision['type']}",
            )
            yield Problem(document.place(where), what, "write fp32, fp16 or bf16, or let onnxruntime serve")


def _check_code(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    if not any(pattern.endswith(".py") for pattern in as_texts(as_mapping(data.get("code")).get("torch"))):
        where = document.place(("runtime",))
        yield Problem(where, "no code builds the networks in torch", "list a model_torch.py in code.torch")
