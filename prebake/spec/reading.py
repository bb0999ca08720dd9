"""Parse, validate, complete: the text of ``image.yaml`` to an ImageSpec, or every fault of it at once."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from prebake.errors import Problem, SpecInvalid, newer_schema
from prebake.spec.combinations import find_impossible
from prebake.spec.image import IMAGE_SCHEMA, ImageSpec
from prebake.spec.sources import Source
from prebake.spec.yamlfile import Document, read_document

FIX = "correct the fields named above; docs/image.schema.json lists every field, and editors complete from it"


def parse_image(text: str, where: str) -> ImageSpec:
    """Read ``image.yaml``. Raises SpecInvalid with every problem, each by file, line and field."""
    document, problems = read_document(text, where)
    spec: ImageSpec | None = None
    if document is not None:
        _refuse_newer(document)
        try:
            spec = ImageSpec.model_validate_json(json.dumps(document.data, default=str))
        except ValidationError as error:
            problems += _problems(document, error.errors())
        problems += find_impossible(document)
    if problems or spec is None:
        raise SpecInvalid(f"{where} cannot be built from:", problems, next_action=FIX)
    return spec


def _refuse_newer(document: Document) -> None:
    """Raises SpecInvalid, without the other faults: to this version every field that is new would be one."""
    schema = document.data.get("schema") if isinstance(document.data, dict) else None
    if newer := newer_schema(schema, IMAGE_SCHEMA):
        problem = Problem(document.place(("schema",)), newer)
        raise SpecInvalid(f"{document.where} cannot be read:", [problem], next_action="update Prebake")
    if schema is True:  # which equals 1, so that no model refuses it
        problem = Problem(document.place(("schema",)), f"is no number: write {IMAGE_SCHEMA}")
        raise SpecInvalid(f"{document.where} cannot be read:", [problem], next_action=FIX)


def parse_source(fields: Mapping[str, object]) -> Source:
    """A source by its fields, as a spec has them. Raises SpecInvalid."""
    try:
        adapter: TypeAdapter[Source] = TypeAdapter(Source)
        return adapter.validate_python(fields)
    except ValidationError as error:
        problems = [Problem(str(detail["loc"][-1]), _plain(detail)) for detail in error.errors()]
        raise SpecInvalid("No source is described by:", problems, next_action=FIX) from error


def _problems(document: Document, details: Sequence[ErrorDetails]) -> Iterator[Problem]:
    paths = [_path(detail) for detail in details]
    for detail, path in zip(details, paths, strict=True):
        inside = any(len(other) > len(path) and other[: len(path)] == path for other in paths)
        if not (detail["type"] == "too_short" and inside):  # its only element is faulty, and reported itself
            yield _problem(document, detail, path)


def _problem(document: Document, detail: ErrorDetails, path: Sequence[str | int]) -> Problem:
    where = document.place(path)
    kind = detail["type"]
    if kind == "extra_forbidden":
        return Problem(where, "unknown key", _meant(path))
    if kind == "missing":
        return Problem(where, "is missing")
    if kind == "union_tag_invalid":
        found = str(detail.get("ctx", {}).get("tag"))
        key, what = ("type", "precision") if path[-1] == "precision" else ("from", "source")
        return Problem(f"{where}.{key}", f"no {what} is of kind {found!r}", _nearest(found, _expected(detail)))
    hint = _nearest(str(detail.get("input")), _expected(detail)) if kind == "literal_error" else ""
    return Problem(where, _plain(detail), hint)


def _path(detail: ErrorDetails) -> tuple[str | int, ...]:
    """The field's path in the file: Pydantic puts a union's tag (``hub``, ``int8``) in, which is no key of it."""
    path = detail["loc"]
    return tuple(part for at, part in enumerate(path) if not _is_tag(path, at))


def _is_tag(path: Sequence[str | int], at: int) -> bool:
    in_source = at > 1 and isinstance(path[at], str) and path[at - 2] == "sources"
    return in_source or (at > 2 and path[0] == "components" and path[2] == "precision" and at == 3)


def _plain(detail: ErrorDetails) -> str:
    message = detail["msg"][0].lower() + detail["msg"][1:]
    if detail["type"] == "licence":
        return message  # it names the text itself
    value = detail.get("input")
    return message if isinstance(value, (dict, list)) else f"{message}, found {value!r}"


def _expected(detail: ErrorDetails) -> list[str]:
    context = detail.get("ctx", {})
    text = str(context.get("expected") or context.get("expected_tags") or "")
    return [word.strip(" '\"") for word in text.replace(" or ", ",").split(",")]


def _meant(path: Sequence[str | int]) -> str:
    return _nearest(str(path[-1]), sorted(_keys_at(path[:-1])))


def _nearest(word: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {found[0]!r}?" if found else ""


def _keys_at(path: Sequence[str | int]) -> set[str]:
    """The keys that the models allow at a path."""
    models: list[Any] = [ImageSpec]
    for part in path:
        models = [inner for model in models for inner in _inner(model, part)]
    return {field.alias or name for model in models for name, field in model.model_fields.items()}


def _inner(model: type[BaseModel], part: str | int) -> Iterator[type[BaseModel]]:
    if isinstance(part, int):
        yield model  # an element of a list: the list's own step named the model already
        return
    for name, field in model.model_fields.items():
        if part in (name, field.alias):
            yield from _models_in(field.annotation)
            return
    yield model  # a key of a mapping, such as a component's name


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def json_schema() -> Mapping[str, Any]:
    """The JSON Schema of ``image.yaml``, as published in docs/image.schema.json."""
    schema = ImageSpec.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Prebake image.yaml"}
