"""Parts of a form as the values of the model's fields: converted and within their limits, or all rejected at once."""

from __future__ import annotations

import base64
import binascii
import math
import re
import sys
from collections.abc import Mapping, Sequence

from entrypoints.contract import Field
from entrypoints.forms.form import Form
from entrypoints.response import HTTPException, error_response
from entrypoints.suggestion import suggest

Value = bytes | str | int | float
_MAX_NUMBER = 10**300
"""Integers above it are rejected: Python's have no largest one, and a float cannot hold them for comparison."""
MAX_UNKNOWN = 10
"""Names that are no fields, of which a message tells each with a suggestion. A body may have thousands."""
NUMBERS = {"integer": "a whole number", "number": "a number"}
MAX_NAME = 60
"""Characters of such a name in a message."""


class InvalidField(Exception):
    """The text says what is wrong with the field."""


def convert_form(fields: Sequence[Field], form: Form) -> dict[str, object]:
    """The model's form: bytes, str, int or float by field name, defaults filled in. Raises HTTPException (422)."""
    known = {field.name: field for field in fields}
    unknown = [name for name in form.parts if name not in known]
    wrong = {cut(name): f"is not a field{suggest(name, list(known))}" for name in unknown[:MAX_UNKNOWN]}
    values: dict[str, object] = {}
    for field in fields:
        try:
            value = convert_part(field, form)
        except InvalidField as error:
            wrong[field.name] = str(error)
        else:
            values.update({} if value is None else {field.name: value})
    if wrong:
        more = max(0, len(unknown) - MAX_UNKNOWN)
        count = "1 field is" if len(wrong) + more == 1 else f"{len(wrong) + more} fields are"
        named = "; ".join(f"{name} {problem}" for name, problem in wrong.items())
        others = f"; {more} more are no fields" if more else ""
        raise HTTPException(error_response(422, f"{count} wrong: {named}{others}.", wrong))
    return values


def cut(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"


def measure_form(form: Mapping[str, object]) -> int:
    """The bytes of memory that a converted form takes."""
    return sum(sys.getsizeof(value) for value in form.values())


def convert_part(field: Field, form: Form) -> Value | None:
    """None if the field is left out and has no default."""
    part = form.parts.get(field.name)
    empty_box = part == "" and field.kind != "text" and not form.is_json  # of a web form
    if part is None or empty_box:
        if field.required:
            raise InvalidField("is required")
        return field.default
    value = read_part(field, part, form)
    check_limits(field, value)
    return value


def read_part(field: Field, part: object, form: Form) -> Value:
    if field.kind == "file":
        return read_file(part, is_json=form.is_json)
    if field.kind == "choice":
        return read_choice(part, field.choices)
    if field.kind == "text":
        return read_text(part)
    if form.is_json and isinstance(part, str):  # the parts of other bodies are all text
        raise InvalidField(f"should be {NUMBERS[field.kind]} without quotes{quote_value(part)}")
    return read_integer(part) if field.kind == "integer" else read_number(part)


def read_file(part: object, *, is_json: bool) -> bytes:
    if isinstance(part, bytes):
        return part
    if not isinstance(part, str) or not is_json:
        raise InvalidField("should be a file: send it as multipart/form-data with a file name, or in JSON as base64")
    try:
        return base64.b64decode(part, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidField("should be a file's content in base64") from None


def read_text(part: object) -> str:
    if isinstance(part, bytes):
        raise InvalidField("should be text, not a file")
    if not isinstance(part, str):
        raise InvalidField("should be text")
    try:
        part.encode()
    except UnicodeEncodeError:  # JSON can hold it, but tokenizers do not accept it
        raise InvalidField("has half of a surrogate pair, which is not a character") from None
    return part


def read_integer(part: object) -> int:
    if isinstance(part, int) and not isinstance(part, bool) and abs(part) < _MAX_NUMBER:
        return part
    if isinstance(part, float) and part.is_integer():
        return int(part)
    if isinstance(part, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,300}\s*", part):
        return int(part)
    raise InvalidField(f"should be {NUMBERS['integer']}{quote_value(part)}")


def read_number(part: object) -> float:
    if isinstance(part, str) and (
        "_" in part or not part.isascii()
    ):  # Python's spellings, which integers do not have either
        raise InvalidField(f"should be {NUMBERS['number']}{quote_value(part)}")
    try:
        value = float(part) if isinstance(part, (str, int, float)) and not isinstance(part, bool) else math.nan
    except (ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise InvalidField(f"should be {NUMBERS['number']}{quote_value(part)}")
    return value


def read_choice(part: object, choices: Sequence[str]) -> str:
    if isinstance(part, str) and part in choices:
        return part
    hint = suggest(part, choices) if isinstance(part, str) else ""
    raise InvalidField(f"should be one of {', '.join(choices)}{hint}")


def quote_value(part: object) -> str:
    return f", is {part[:40]!r}" if isinstance(part, str) else ""


def check_limits(field: Field, value: Value) -> None:
    measured = len(value) if isinstance(value, (bytes, str)) else value
    unit = {"file": " bytes", "text": " characters"}.get(field.kind, "")
    if field.minimum is not None and measured < field.minimum:
        raise InvalidField(f"should be at least {field.minimum:.12g}{unit}, is {measured:.12g}")
    if field.maximum is not None and measured > field.maximum:
        raise InvalidField(f"should be at most {field.maximum:.12g}{unit}, is {measured:.12g}")


def describe_fields(fields: Sequence[Field]) -> list[dict[str, object]]:
    """For people and programs that want to fill in the form; limits and choices only if the field has them."""
    described = []
    for field in fields:
        entry: dict[str, object] = {"name": field.name, "kind": field.kind, "required": field.required}
        rest = {"default": field.default, "minimum": field.minimum, "maximum": field.maximum, "help": field.help}
        entry.update({name: value for name, value in rest.items() if value is not None})
        if field.choices:
            entry["choices"] = list(field.choices)
        described.append(entry)
    return described
