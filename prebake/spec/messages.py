"""Pydantic's errors as problems of ``image.yaml``: the place, what is wrong there, and what to write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from prebake.errors import Problem
from prebake.spec.image.component import TENSOR_TYPE
from prebake.spec.image.image import IMAGE_NAME, IMAGE_SCHEMA, ImageSpec
from prebake.spec.image.strict_model import NAME, RELATIVE_PATH
from prebake.spec.image.system_packages import SYSTEM_PACKAGE
from prebake.spec.suggestions import nearest
from prebake.spec.upgrade.migration import new_key, new_value
from prebake.spec.upgrade.renames import IMAGE_MIGRATIONS
from prebake.spec.yaml_file import Document

Path = tuple[str | int, ...]
_FORMATS = {
    NAME: "lower-case letters, digits and _, a letter first",
    IMAGE_NAME: "lower-case letters and digits with single or double _ between them, a letter first",
    RELATIVE_PATH: "a path below the folder: letters, digits and ._@+- with / between, no part beginning with a dot",
    TENSOR_TYPE: "write it as float32[batch, 3, 224, 224]",
    SYSTEM_PACKAGE: "write it as libgl1 or libgl1=1.6.0-1",
}
"""The format of a text in words, by its pattern."""
# Pydantic's messages have the names of Python's and JSON's types.
_YAML_TYPES = {"tuple": "list", "array": "list", "dictionary": "mapping", "object": "mapping"}


def describe_errors(document: Document, errors: Sequence[ErrorDetails]) -> Iterator[Problem]:
    """A problem for each error, but for a list that is too short because its only element is faulty."""
    paths = [field_path(error) for error in errors]
    for error, path in zip(errors, paths, strict=True):
        inside = any(len(other) > len(path) and other[: len(path)] == path for other in paths)
        if not (error["type"] == "too_short" and inside):
            yield _describe(document, error, path)


def _describe(document: Document, error: ErrorDetails, path: Path) -> Problem:
    where, kind = document.place(path), error["type"]
    if path == ("schema",) and kind == "literal_error":
        found = error["input"]
        return Problem(
            where, f"should be the number {IMAGE_SCHEMA}, found {found!r}", f"write `schema: {IMAGE_SCHEMA}`"
        )
    if new := _renamed(error, tuple(map(str, path))):
        return Problem(where, f"was renamed to {new} in schema {IMAGE_SCHEMA}", f"write {new}")
    if kind == "extra_forbidden":
        return Problem(where, "unknown key", nearest(str(path[-1]), sorted(_keys_at(path[:-1]))))
    if kind == "missing":
        return Problem(where, "is missing", f"add `{path[-1]}:`")
    if kind == "union_tag_invalid":
        found = str(error.get("ctx", {}).get("tag"))
        key, what = ("type", "precision") if path[-1] == "precision" else ("from", "source")
        expected = _expected(error)
        hint = nearest(found, expected) or f"there are: {', '.join(expected)}"
        return Problem(f"{where}.{key}", f"{found!r} is not a kind of {what}", hint)
    if kind == "union_tag_not_found":
        key = "type" if path[-1] == "precision" else "from"
        return Problem(f"{where}.{key}", "is missing", f"add `{key}:`")
    return Problem(where, describe_error(error), _hint(error))


def _renamed(error: ErrorDetails, path: tuple[str, ...]) -> str:
    """The present name of a key or a word of an earlier schema; empty if it is not one."""
    for migration in IMAGE_MIGRATIONS.values():
        if error["type"] == "extra_forbidden" and (new := new_key(migration, path[:-1], path[-1])) != path[-1]:
            return new
        value = error.get("input")
        if (
            error["type"] == "literal_error"
            and isinstance(value, str)
            and (new := new_value(migration, path, value)) != value
        ):
            return f"{new!r}"
    return ""


def _hint(error: ErrorDetails) -> str:
    value = error.get("input")
    if error["type"] == "literal_error":
        return nearest(str(value), _expected(error))
    if error["type"] == "string_pattern_mismatch":
        return _FORMATS.get(str(error.get("ctx", {}).get("pattern")), "")
    if error["type"] in ("tuple_type", "list_type") and isinstance(value, (str, int, float)):
        return f"write [{value}]"
    return ""


def describe_error(error: ErrorDetails) -> str:
    """What is wrong, and the value that was found."""
    message = error["msg"][0].lower() + error["msg"][1:]
    if error["type"] == "license":
        return message  # it names the text itself
    for word, yaml_word in _YAML_TYPES.items():
        message = message.replace(word, yaml_word)
    value = error.get("input")
    return message if isinstance(value, (dict, list)) else f"{message}, found {value!r}"


def _expected(error: ErrorDetails) -> list[str]:
    context = error.get("ctx", {})
    text = str(context.get("expected") or context.get("expected_tags") or "")
    return [word.strip(" '\"") for word in text.replace(" or ", ",").split(",")]


def field_path(error: ErrorDetails) -> Path:
    """The field's path in the file, without the tag of a union (``hub``, ``int8``) that Pydantic puts in."""
    path = error["loc"]
    return tuple(part for index, part in enumerate(path) if not _is_tag(path, index))


def _is_tag(path: Path, index: int) -> bool:
    in_source = index > 1 and isinstance(path[index], str) and path[index - 2] == "sources"
    return in_source or (index > 2 and path[0] == "components" and path[2] == "precision" and index == 3)


def _keys_at(path: Path) -> set[str]:
    """The keys that the models allow at a path."""
    models: list[type[BaseModel]] = [ImageSpec]
    for part in path:
        models = [inner for model in models for inner in _models_below(model, part)]
    return {field.alias or name for model in models for name, field in model.model_fields.items()}


def _models_below(model: type[BaseModel], part: str | int) -> Iterator[type[BaseModel]]:
    if isinstance(part, int):
        yield model  # an element of a list: the list's own part named the model already
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
