"""Whether `preload` and `residency` name models and components that the image has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prebake.errors import Problem
from prebake.spec.checks.raw_document import as_mapping, as_texts
from prebake.spec.suggestions import nearest_or_all
from prebake.spec.yaml_file import Document


def check_residency_names(document: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    models = [str(name) for name in as_mapping(data.get("models"))]
    preload = data.get("preload")
    for number, name in enumerate(as_texts(preload)):
        if not models:
            yield Problem(document.place(("preload", number)), "the image has one model", "write all or lazy")
        elif name not in models:
            where, hint = document.place(("preload", number)), nearest_or_all(name, models, "the image has")
            yield Problem(where, "the image has no such model", hint)
    known = models or [str(name) for name in as_mapping(data.get("components"))]
    for number, name in enumerate(as_texts(as_mapping(data.get("residency")).get("pin"))):
        of_model = (
            name.partition("/")[0] if models else name
        )  # a component of another image is checked by the container
        if of_model not in known:
            where = document.place(("residency", "pin", number))
            hint = nearest_or_all(of_model, known, "the image has")
            yield Problem(where, f"the image has no such {'model' if models else 'component'}", hint)
