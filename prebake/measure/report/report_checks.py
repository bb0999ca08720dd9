"""The fields of ``report.json`` that its readers use: whether they are there, and of the right type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.documents.manifest.json_checks import Check, anything, listing, mapping, nullable, typed

TEXT = typed(str, "a string")
SIZE = typed(int, "a whole number of bytes", lambda value: value >= 0)
SECONDS = typed((int, float), "a number, 0 or more", lambda value: 0 <= value < float("inf"))


def fields(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Check:
    """An object with these fields and any others."""

    def check(value: Any, where: str, problems: list[str]) -> Any:
        if not isinstance(value, dict):
            problems.append(f"{where}: should be an object")
            return {}
        problems.extend(f"{where}.{name}: is missing".lstrip(".") for name in required if name not in value)
        for name, item in {**required, **optional}.items():
            if name in value:
                item(value[name], f"{where}.{name}".lstrip("."), problems)
        return value

    return check


_LAYER = fields(
    {"name": TEXT, "kind": TEXT, "size": SIZE, "diff_id": TEXT}, {"inputs": mapping(TEXT, anything), "digest": TEXT}
)
_REPORT = fields(
    {
        "image": TEXT,
        "digest": TEXT,
        "target": TEXT,
        "checkpoint": TEXT,
        "layers": listing(_LAYER),
        "outputs": mapping(TEXT, fields({"name": TEXT}, {})),
    },
    {
        "pushed": mapping(TEXT, TEXT),
        "volume": fields({"digest": TEXT}, {}),
        "ready_seconds": nullable(SECONDS),
    },
)


def find_report_problems(document: Mapping[str, Any]) -> list[str]:
    """Why no reader can use this report, by field."""
    problems: list[str] = []
    _REPORT(document, "", problems)
    return problems
