"""Checks of shape buckets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prebake.errors import Problem
from prebake.spec.checks.raw_document import as_mapping, as_texts, list_components
from prebake.spec.suggestions import nearest_or_all
from prebake.spec.yaml_file import Document


def check_bucket_axes(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """Every bucket has the axes of the first one, and no two buckets are equal."""
    for component, shapes in _list_buckets(data):
        first, seen = list(shapes[0]), list[Mapping[str, Any]]()
        for number, shape in enumerate(shapes):
            where = ("components", component, "buckets", number)
            for axis in (axis for axis in shape if axis not in first):
                hint = nearest_or_all(str(axis), list(map(str, first)), "the first has")
                yield Problem(document.place((*where, axis)), "the first bucket does not have this axis", hint)
            for axis in (axis for axis in first if axis not in shape):
                what = f"lacks {axis!r}, which the first bucket has"
                yield Problem(document.place(where), what, f"add a length for {axis}")
            if shape in seen:
                yield Problem(
                    document.place(where), f"is the same as buckets[{seen.index(shape)}]", "remove one of them"
                )
            seen.append(shape)


def check_bucket_settings(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """``pad`` and ``overflow`` need buckets."""
    for component, settings in list_components(data):
        for key in (key for key in ("pad", "overflow") if key in settings and "buckets" not in settings):
            yield Problem(document.place(("components", component, key)), "there are no buckets", "add `buckets`")


def check_bucket_targets(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """Only graphs have buckets, so ONNX Runtime must serve at least one target."""
    targets, runtime = as_texts(data.get("targets")) or ["cpu"], as_mapping(data.get("runtime"))
    if all(runtime.get(target) == "torch" for target in targets):
        for component, _ in _list_buckets(data):
            where = document.place(("components", component, "buckets"))
            yield Problem(where, "torch serves every target, and accepts any shape", "remove the buckets")


def _list_buckets(data: Mapping[str, Any]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    for component, settings in list_components(data):
        shapes = settings.get("buckets")
        if isinstance(shapes, list) and shapes and all(isinstance(shape, dict) for shape in shapes):
            yield component, shapes
