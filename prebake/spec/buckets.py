"""Shape buckets that no graph could be given."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from prebake.errors import Problem
from prebake.spec.raw import mapping, texts
from prebake.spec.yamlfile import Document


def one_set_of_axes(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """Every bucket names the axes that the first one names, and no two are the same."""
    for component, shapes in _buckets(data):
        first, seen = list(shapes[0]), list[Mapping[str, Any]]()
        for number, shape in enumerate(shapes):
            where = ("components", component, "buckets", number)
            for axis in (axis for axis in shape if axis not in first):
                near = difflib.get_close_matches(str(axis), map(str, first), n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"the first has: {', '.join(map(str, first))}"
                yield Problem(document.place((*where, axis)), "the first bucket does not name this axis", hint)
            for axis in (axis for axis in first if axis not in shape):
                yield Problem(document.place(where), f"lacks {axis!r}, which the first bucket names")
            if shape in seen:
                yield Problem(document.place(where), f"is the same as buckets[{seen.index(shape)}]")
            seen.append(shape)


def buckets_to_speak_of(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    for component, settings in mapping(data.get("components")).items():
        if "buckets" not in mapping(settings):
            for key in (key for key in ("pad", "outside") if key in mapping(settings)):
                yield Problem(document.place(("components", component, key)), "there are no buckets", "add `buckets`")


def bucketed_graphs(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """Where torch serves nothing is brought to a bucket, so that there has to be a target whose graphs are."""
    targets, runtime = texts(data.get("targets")) or ["cpu"], mapping(data.get("runtime"))
    if all(runtime.get(target) == "torch" for target in targets):
        for component, _ in _buckets(data):
            where = document.place(("components", component, "buckets"))
            yield Problem(where, "torch serves every target, and takes any shape", "leave them out")


def _buckets(data: Mapping[str, Any]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    for component, settings in mapping(data.get("components")).items():
        shapes = mapping(settings).get("buckets")
        if isinstance(shapes, list) and shapes and all(isinstance(shape, dict) for shape in shapes):
            yield component, shapes
