"""Parses the text of ``image.yaml`` into an ImageSpec, or reports every fault at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from prebake.errors import Problem, SchemaOutdated, SpecInvalid, newer_schema, older_schema
from prebake.spec.checks.document import find_conflicts
from prebake.spec.image.image import IMAGE_SCHEMA, ImageSpec
from prebake.spec.image.sources import Source
from prebake.spec.messages import describe_error, describe_errors
from prebake.spec.yaml_file import Document, read_document

FIX = "correct the fields above; docs/image.schema.json lists every field, and editors complete from it"


def parse_image(text: str, where: str) -> ImageSpec:
    """Read ``image.yaml``. Raises SpecInvalid with every problem, each by file, line and field, or SchemaOutdated."""
    document, problems = read_document(text, where)
    spec: ImageSpec | None = None
    if document is not None:
        _check_schema(document)
        try:
            spec = ImageSpec.model_validate_json(json.dumps(document.data, default=str))
        except ValidationError as error:
            problems += describe_errors(document, error.errors())
        problems += find_conflicts(document)
    if problems or spec is None:
        raise SpecInvalid(f"No image can be built from {where}:", problems, next_action=FIX)
    return spec


def _check_schema(document: Document) -> None:
    """Raises SchemaOutdated or SpecInvalid, without the other faults: every renamed key would be a fault."""
    schema = document.data.get("schema") if isinstance(document.data, dict) else None
    where = document.place(("schema",))
    if older := older_schema(schema, IMAGE_SCHEMA):
        raise SchemaOutdated([Problem(where, older)])
    if newer := newer_schema(schema, IMAGE_SCHEMA):
        raise SpecInvalid(f"{document.where} cannot be read:", [Problem(where, newer)], next_action="update Prebake")
    if not isinstance(schema, bool) and schema in ("1", 1.0):
        problem = Problem(where, f"should be a whole number without quotes, found {schema!r}")
        action = "write `schema: 1`, then run `prebake upgrade`"
        raise SpecInvalid(f"{document.where} cannot be read:", [problem], next_action=action)
    if isinstance(schema, bool):
        problem = Problem(where, f"is not a number: write {IMAGE_SCHEMA}")
        raise SpecInvalid(f"{document.where} cannot be read:", [problem], next_action=FIX)


def parse_source(fields: Mapping[str, object]) -> Source:
    """A source by its fields, as a spec has them. Raises SpecInvalid."""
    try:
        adapter: TypeAdapter[Source] = TypeAdapter(Source)
        return adapter.validate_python(fields)
    except ValidationError as error:
        problems = [Problem(str(detail["loc"][-1]), describe_error(detail)) for detail in error.errors()]
        raise SpecInvalid("These fields do not describe a source:", problems, next_action=FIX) from error


def json_schema() -> Mapping[str, Any]:
    """The JSON Schema of ``image.yaml``, as published in docs/image.schema.json."""
    schema = ImageSpec.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Prebake image.yaml"}
