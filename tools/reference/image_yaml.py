"""docs/reference/image-yaml.md: every field of image.yaml, from its JSON Schema (`prebake schema`)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from prebake.spec.image import precision, sources
from prebake.spec.image.component import TENSOR_TYPE
from prebake.spec.image.gate import DURATION, SHARE, SIZE
from prebake.spec.image.image import IMAGE_NAME, IMAGE_SCHEMA
from prebake.spec.image.strict_model import NAME, RELATIVE_PATH
from prebake.spec.image.system_packages import SYSTEM_PACKAGE
from prebake.spec.reader import json_schema
from tools.reference.markdown import code, codes, from_docstring, mark_code, page, sentence, table

EXAMPLE = f"""\
# yaml-language-server: $schema=../../docs/image.schema.json
schema: {IMAGE_SCHEMA}
name: tiny
title: A tiny model
targets: [cpu, cuda]
checkpoint: published
checkpoints:
  published:
    license: {{id: MIT}}
    sources:
      - from: hub
        repository: owner/tiny
        revision: main
        files: [config.json, model.safetensors]
        ship: [model.safetensors]
        to: net
components:
  net:
    precision: {{type: int8, max_relative_error: 0.1}}
    buckets: [{{batch: 1, tokens: 32}}, {{batch: 8, tokens: 128}}]
    pad: {{input_ids: 0, attention_mask: 0}}
limits: {{queue: 32}}
gate: {{max_regression: 10%, max_ttfi: 2s}}
resources: {{cpu: "4", memory: 8Gi}}
"""

TITLES: Mapping[str, str] = {
    "Checkpoint": "Checkpoint: `checkpoints.NAME`",
    "License": "License: `license` of a checkpoint",
    "ComponentSpec": "Component: `components.NAME`",
    "SessionSpec": "Session: `session` of a component",
    "CudaOptions": "CUDA options: `session.cuda` of a component",
    "TensorrtOptions": "TensorRT options: `session.tensorrt` of a component",
    "ServedModel": "Model of a multi-model image: `models.NAME`",
    "Code": "Code: `code`",
    "Warmup": "Warm-up: `warmup`",
    "Limits": "Limits: `limits`",
    "Residency": "Residency: `residency`",
    "Serving": "Serving: `serving`",
    "Batching": "Batching: `batching`",
    "GateSpec": "Gate: `gate`",
    "Resources": "Resources: `resources`",
}
"""The sections in their order: each model's heading, by its name in the schema. Sources come after the second, precisions after
the third; their headings are their kinds."""

PATTERNS: Mapping[str, str] = {
    NAME: "lower-case letters, digits and _, beginning with a letter",
    IMAGE_NAME: "lower-case letters, digits and _, beginning with a letter; _ is not the last one, and not three in a row",
    RELATIVE_PATH: "a relative path",
    TENSOR_TYPE: "a dtype and axes, `DTYPE[AXIS, …]`",
    SYSTEM_PACKAGE: "`NAME` or `NAME=VERSION`",
    SHARE: "a number and `%`",
    DURATION: "a number and `ms`, `s` or `min`",
    SIZE: "a number and `KB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`",
}
"""Regular expressions that words say better."""

Schema = Mapping[str, Any]


def write_page() -> str:
    schema = json_schema()
    definitions: Schema = schema["$defs"]
    sections = [(name, f"## {title}") for name, title in TITLES.items()]
    kinds = [_kind(definitions, name) for name in models_of(sources, "From")]
    precisions = [_kind(definitions, name) for name in ("Fp32", "Fp16", "Bf16", "Int8", "Int4")]
    return page(
        "image.yaml",
        """
`images/NAME/image.yaml` says what an image is made of. An unknown key or a value of a wrong type is an error (exit code 12), and
Prebake lists every problem of the file at once. `prebake schema` prints the same as a JSON Schema, which is also in
[docs/image.schema.json](../image.schema.json): editors that know the first line below
complete and check the file. [Adding a model](../adding-a-model.md) shows how to write one.""",
        f"```yaml\n{EXAMPLE}```",
        """
You must give a field if its default says "required". An empty default means that the field is not set, or that its own
fields have defaults. The globs of `code` and every path are relative to the image's folder, or to the checkpoint. An
image has either `checkpoint`, `checkpoints` and `components`, or `models`.""",
        "## The whole file",
        _fields(schema, required_either=("checkpoint", "checkpoints", "components", "models")),
        *(part for name, heading in sections[:2] for part in _section(definitions, name, heading)),
        "## Source: an entry of `sources`",
        """
Each source has a kind, `from`, which decides the other fields. [Sources](../concepts/sources.md) has what each kind is pinned
to and what it needs.""",
        *(part for name, kind in kinds for part in _section(definitions, name, f"### `from: {kind}`")),
        *(part for name, heading in sections[2:3] for part in _section(definitions, name, heading)),
        "## Precision: `precision` of a component",
        """
A name alone, such as `precision: fp16`, stands for that type with its defaults. [Precision](../concepts/precision.md) has what
each type costs and saves.""",
        *(part for name, kind in precisions for part in _section(definitions, name, f"### `type: {kind}`")),
        *(part for name, heading in sections[3:] for part in _section(definitions, name, heading)),
    )


def models_of(module: object, prefix: str) -> list[str]:
    return [name for name in vars(module) if name.startswith(prefix)]


def _kind(definitions: Schema, name: str) -> tuple[str, str]:
    """The model, and the value of ``from`` or ``type`` that selects it."""
    properties = definitions[name]["properties"]
    return name, str((properties.get("from") or properties["type"])["const"])


def _section(definitions: Schema, name: str, heading: str) -> Iterator[str]:
    model = definitions[name]
    yield heading
    yield mark_code(" ".join(from_docstring(model["description"]).split()))
    yield _fields(model)


def _fields(model: Schema, required_either: tuple[str, ...] = ()) -> str:
    required = model.get("required", ())
    rows = []
    for name, field in model["properties"].items():
        if name in required:
            default = "required"
        elif name in required_either:
            default = "see above"
        else:
            default = _default(field)
        rows.append((code(name), _type(field), default, _constraints(field), _meaning(field)))
    return table(("field", "type", "default", "constraints", "meaning"), rows)


def _meaning(field: Schema) -> str:
    texts = [field.get("description"), *(option.get("description") for option in field.get("anyOf", ()))]
    return mark_code(sentence(from_docstring(next((text for text in texts if text), ""))))


def _default(field: Schema) -> str:
    value = field["default"]
    if value is None or isinstance(value, dict):
        return ""  # not set, or a model whose own fields have defaults
    return code(json.dumps(value, ensure_ascii=False)) if not isinstance(value, str) else code(value or '""')


def _options(field: Schema) -> list[Schema]:
    """The alternatives of a field, without null."""
    return [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]


def _type(field: Schema) -> str:
    found = " or ".join(dict.fromkeys(filter(None, map(_one_type, _options(field)))))
    return found or "any"


def _one_type(field: Schema) -> str:
    if "$ref" in field:
        return _link(field["$ref"])
    if "const" in field:
        return code(str(field["const"]))
    if "enum" in field:
        return codes(map(str, field["enum"]))
    if "oneOf" in field:
        return "[precision](#precision-precision-of-a-component)" if "Int8" in str(field["oneOf"]) else _SOURCE
    if field["type"] == "array":
        items = field["items"]
        plural = {"object": "mappings", "string": "strings"}.get(items.get("type", "")) if "enum" not in items else None
        return f"list of {plural or _type(items)}"
    if field["type"] == "object":
        values = _values(field)
        keys = field.get("propertyNames", {}).get("enum")
        return f"mapping from {codes(keys) if keys else 'names'} to {_type(values)}"
    return str(field["type"])


_SOURCE = "[source](#source-an-entry-of-sources)"


def _values(field: Schema) -> Schema:
    """The values of a mapping; a mapping whose keys have a pattern keeps them under it."""
    values: Schema = field.get("additionalProperties") or next(iter(field["patternProperties"].values()))
    return values


def _link(reference: str) -> str:
    title = TITLES[reference.rpartition("/")[2]]
    anchor = re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-")
    name = title.partition(":")[0]
    return f"[{name.lower() if name[1:].islower() else name}](#{anchor})"


def _constraints(field: Schema) -> str:
    found = [text for option in _options(field) for text in _all_constraints(option)]
    return "; ".join(dict.fromkeys(found))


def _all_constraints(field: Schema) -> Iterator[str]:
    """Of a field, and of its entries or values."""
    yield from _own_constraints(field)
    if "propertyNames" in field:
        yield from (f"names: {text}" for text in _own_constraints(field["propertyNames"]))
    yield from (f"names: {_pattern(pattern)}" for pattern in field.get("patternProperties", ()))
    if field.get("type") == "array":
        yield from (f"entries: {text}" for text in _all_constraints(field["items"]))
    if field.get("type") == "object":
        yield from (f"values: {text}" for text in _all_constraints(_values(field)))


def _pattern(pattern: str) -> str:
    return PATTERNS.get(pattern, f"matches `{pattern}`")


def _own_constraints(field: Schema) -> list[str]:
    rules = {
        "minimum": "at least {}",
        "exclusiveMinimum": "above {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "below {}",
        "maxLength": "at most {} characters",
        "minItems": "at least {} entries",
        "minProperties": "at least {} entries",
    }
    found = [text.format(field[key]).replace(" 1 entries", " 1 entry") for key, text in rules.items() if key in field]
    if field.get("minLength"):
        found.append("not empty")
    if pattern := field.get("pattern"):
        found.append(_pattern(pattern))
    return found


def find_undescribed() -> list[str]:
    """The fields and models that have no description."""
    schema = json_schema()
    models = {"image.yaml": schema, **schema["$defs"]}
    fields = [
        f"{name}.{field}"
        for name, each in models.items()
        for field, text in each["properties"].items()
        if not _meaning(text)
    ]
    return [*fields, *(name for name, each in models.items() if not each.get("description"))]


def find_unlisted() -> list[str]:
    """The models that no section of the page has."""
    listed = {*TITLES, *models_of(sources, "From"), *models_of(precision, "Fp"), "Bf16", "Int8", "Int4"}
    return sorted(set(json_schema()["$defs"]) ^ listed)
