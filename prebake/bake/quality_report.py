"""The compile stage's report: of each component where its weights lie, and how its answers compare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from prebake.bake.component import Component
from prebake.bake.exported import ExportedComponent
from prebake.bake.parity import Finding
from prebake.bake.repoint import Report


def describe_component(
    own: Component, exported: ExportedComponent, report: Report, found: Sequence[Finding], choice: Mapping[str, object]
) -> dict[str, Any]:
    """``outputs``: the worst of all cases; ``choice``: of the forms that it may be opened in. What is not finite is None, as
    JSON has no such number."""
    weights = {key: value for key, value in exported.reduced.items() if key != "type"}
    return {
        "precision": own.precision.type,
        **({"bound": own.precision.bound} if own.precision.bounded else _allowed(exported)),
        "outputs": {name: _worst([each for each in found if each.output == name]) for name in _names(found)},
        **({"weights": weights} if weights else {}),
        **({"published": dict(exported.published)} if exported.published else {}),
        "exported": dict(exported.report),
        "compiled": report.to_dict(),
        **({"choice": dict(choice)} if choice else {}),
        "parity": [_one(each) for each in found],
    }


def _allowed(exported: ExportedComponent) -> dict[str, Any]:
    """``allowances`` say by output what its tolerance follows from, unless export.py gave it."""
    derived = {name: dict(each) for name, each in exported.allowances.items()}
    return {"tolerance": exported.tolerance, **({"allowances": derived} if derived else {})}


def _names(found: Sequence[Finding]) -> list[str]:
    return sorted({each.output for each in found})


def _worst(found: Sequence[Finding]) -> dict[str, float | None]:
    measured = [each.quality for each in found if each.quality]
    noise = [snr for each in measured if (snr := each.snr) is not None]
    return {
        "relative_error": _finite(max((each.relative for each in measured), default=math.nan)),
        "snr_db": min(noise) if noise else None,
        "cosine_similarity": _finite(min((each.cosine for each in measured), default=math.nan)),
        "difference": _finite(max((each.difference for each in measured), default=math.nan)),
    }


def _one(each: Finding) -> dict[str, Any]:
    what = {"relative_error" if each.relative else "difference": each.difference}
    bucket = {"bucket": each.bucket} if each.bucket else {}
    return {"case": each.case, **bucket, "output": each.output, **what, "tolerance": each.tolerance}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
