"""Components that cannot be baked as they are described."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from prebake.errors import Problem
from prebake.spec.raw import GRAPHS, mapping, placed, precisions, sources
from prebake.spec.yamlfile import Document


def have_weights(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    shipped: dict[str, set[str]] = {}
    for name, _, source in sources(data):
        folders = {
            file.split("/")[0] for file in placed(source, "ship") if file.endswith(".safetensors") and "/" in file
        }
        shipped.setdefault(name, set()).update(folders)
    reduced = {
        name
        for name, settings, precision in precisions(data)
        if precision.get("type") != "fp32" and settings.get("derived") is not False
    }
    for component, settings in mapping(data.get("components")).items():
        folder = mapping(settings).get("folder") or component
        for checkpoint, folders in shipped.items():
            graph = any(mapping(settings).get(kind) for kind in GRAPHS)
            made = graph or mapping(settings).get("derived") is True or component in reduced
            if not made and folder not in folders:
                yield Problem(
                    document.place(("components", component)),
                    f"checkpoint {checkpoint!r} ships no {folder}/*.safetensors for it",
                    "ship the file, or say `derived: true` where export.py converts it",
                )


def published_graphs(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """A published graph has to be in every checkpoint, and code has to be there for a component that names none."""
    components = mapping(data.get("components"))
    files: dict[str, list[str]] = {}
    for name, _, source in sources(data):
        files.setdefault(name, []).extend(placed(source, "files"))
    for component, settings in components.items():
        named = {kind: file for kind in GRAPHS if isinstance(file := mapping(settings).get(kind), str)}
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
        if mapping(settings).get("inputs") and "torch" not in named:
            where = document.place(("components", component, "inputs"))
            yield Problem(where, "are for a TorchScript file", "name it by `torch`, or leave them out")
    exported = mapping(data.get("code")).get("export", ["export.py"])
    if isinstance(exported, list) and not any(str(file).endswith(".py") for file in exported):
        for component, settings in components.items():
            if not any(mapping(settings).get(kind) for kind in GRAPHS):
                where = document.place(("components", component))
                advice = "name its `onnx` or `torch` file, or list an export.py in code.export"
                yield Problem(where, "nothing exports it", advice)


def one_graph_twice(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """A graph lies in its folder as ``model.onnx``, or under its component's name where the folder is another's."""
    for component, settings in mapping(data.get("components")).items():
        if component == "model" and mapping(settings).get("folder") not in (None, "model"):
            yield Problem(
                document.place(("components", component)),
                "its graph would be called as that of the folder's own component",
                "call it something else",
            )


def calibration(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    for component, settings, precision in precisions(data):
        where = ("components", component, "precision")
        static = precision.get("activations") == "static"
        if precision.get("type") == "int8" and precision.get("calibration") and not static:
            yield Problem(
                document.place((*where, "calibration")),
                "dynamic activations need no calibration set",
                "drop it, or say `activations: static`",
            )
        if static and any(settings.get(kind) for kind in GRAPHS) and not precision.get("calibration"):
            yield Problem(
                document.place((*where, "activations")),
                "a published graph has no code that gives a calibration set",
                "name one in `calibration`: an .npz of the image's folder",
            )


def published_types(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """``derived: false`` beside a precision says that the published file has that type."""
    for component, settings, precision in precisions(data):
        made = "int8", "int4", *(("fp16", "bf16") if any(settings.get(kind) for kind in GRAPHS) else ())
        if settings.get("derived") is False and precision.get("type") in made:
            yield Problem(
                document.place(("components", component, "derived")),
                f"no published weights are taken for {precision['type']}: the export stage makes them",
                "drop `derived: false`",
            )
