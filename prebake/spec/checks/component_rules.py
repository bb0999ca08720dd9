"""Components that cannot be baked as they are described."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from prebake.errors import Problem
from prebake.spec.checks.raw_document import (
    GRAPHS,
    as_mapping,
    checkpoint_paths,
    list_components,
    list_precisions,
    list_sources,
)
from prebake.spec.suggestions import nearest
from prebake.spec.yaml_file import Document


def check_weights(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """Every component has weights: published ones that a checkpoint ships, or those that the export stage makes."""
    shipped: dict[str, set[str]] = {}
    for name, _, source in list_sources(data):
        paths = (path for path in checkpoint_paths(source, "ship") if path.endswith(".safetensors") and "/" in path)
        shipped.setdefault(name, set()).update(path.split("/")[0] for path in paths)
    reduced = {
        name
        for name, settings, precision in list_precisions(data)
        if precision.get("type") != "fp32" and settings.get("derived") is not False
    }
    for component, settings in list_components(data):
        folder = settings.get("folder") or component
        graph = any(settings.get(kind) for kind in GRAPHS)
        made_by_export = graph or settings.get("derived") is True or component in reduced
        for checkpoint in (name for name, folders in shipped.items() if not made_by_export and folder not in folders):
            yield Problem(
                document.place(("components", component)),
                f"checkpoint {checkpoint!r} ships no {folder}/*.safetensors for it",
                "add the file to `ship`, or write `derived: true` if export.py makes the weights",
            )


def check_published_graphs(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """A published graph is in every checkpoint, and a component without one is exported by code."""
    files: dict[str, list[str]] = {}
    for name, _, source in list_sources(data):
        files.setdefault(name, []).extend(checkpoint_paths(source, "files"))
    for component, settings in list_components(data):
        named = {kind: file for kind in GRAPHS if isinstance(file := settings.get(kind), str)}
        for (kind, wanted), (checkpoint, paths) in product(named.items(), files.items()):
            if wanted not in paths:
                where = document.place(("components", component, kind))
                hint = nearest(wanted, paths) or "add it to the files of a source"
                yield Problem(where, f"checkpoint {checkpoint!r} has no file {wanted!r}", hint)
        if len(named) > 1:
            where = document.place(("components", component))
            yield Problem(where, "has two graphs", f"keep one of {', '.join(named)}")
        if settings.get("inputs") and "torch" not in named:
            where = document.place(("components", component, "inputs"))
            yield Problem(where, "are for a TorchScript file", "set `torch` to the file, or remove `inputs`")


def check_exporter(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """A component without a published graph needs an export.py."""
    exported = as_mapping(data.get("code")).get("export", ["export.py"])
    if not isinstance(exported, list) or any(str(file).endswith(".py") for file in exported):
        return
    for component, settings in list_components(data):
        if not any(settings.get(kind) for kind in GRAPHS):
            where = document.place(("components", component))
            advice = "set `onnx` or `torch` to its file, or list an export.py in code.export"
            yield Problem(where, "no code exports it", advice)


def check_graph_names(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """A graph is ``model.onnx`` in its own folder, and ``<component>.onnx`` in another component's folder."""
    for component, settings in list_components(data):
        if component == "model" and settings.get("folder") not in (None, "model"):
            where = document.place(("components", component))
            what = f"its graph would be {settings['folder']}/model.onnx, which is the folder's own component"
            yield Problem(where, what, "give the component another name")


def check_calibration(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """Static activations need a calibration set; dynamic ones do not use one."""
    for component, settings, precision in list_precisions(data):
        where = ("components", component, "precision")
        static = precision.get("activations") == "static"
        if precision.get("type") == "int8" and precision.get("calibration") and not static:
            yield Problem(
                document.place((*where, "calibration")),
                "dynamic activations need no calibration set",
                "remove it, or write `activations: static`",
            )
        if static and any(settings.get(kind) for kind in GRAPHS) and not precision.get("calibration"):
            yield Problem(
                document.place((*where, "activations")),
                "a published graph has no code that writes a calibration set",
                "set `calibration` to an .npz file of the image's folder",
            )


def check_weight_types(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """``derived: false`` beside a precision says that the published file has that type already."""
    for component, settings, precision in list_precisions(data):
        graph = any(settings.get(kind) for kind in GRAPHS)
        made_by_export = "int8", "int4", *(("fp16", "bf16") if graph else ())
        if settings.get("derived") is False and precision.get("type") in made_by_export:
            yield Problem(
                document.place(("components", component, "derived")),
                f"the export stage makes the weights of {precision['type']}; published ones are not used",
                "remove `derived: false`",
            )
