"""The compile stage's report: the places of each component's weights, and the comparison of its answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from prebake.bake.graphs.external_data import LinkReport
from prebake.bake.model_folder.export_folder import ExportedComponent
from prebake.bake.parity.results import ParityResult
from prebake.documents.component import ComponentSettings


def describe_component(
    own: ComponentSettings,
    exported: ExportedComponent,
    report: LinkReport,
    findings: Sequence[ParityResult],
    choice: Mapping[str, object],
) -> dict[str, Any]:
    """A component in the report. ``outputs`` has the worst figures of all cases, ``choice`` the trials of its session. A
    figure that is not finite is None, as JSON has no such number."""
    weights = {key: value for key, value in exported.reduced.items() if key != "type"}
    return {
        "precision": own.precision.type,
        **({"bound": own.precision.max_relative_error} if own.precision.bounded else _allowed(exported)),
        "outputs": {
            name: _worst([finding for finding in findings if finding.output == name]) for name in _names(findings)
        },
        **({"weights": weights} if weights else {}),
        **({"published": dict(exported.published)} if exported.published else {}),
        "exported": dict(exported.report),
        "compiled": report.to_dict(),
        **({"choice": dict(choice)} if choice else {}),
        "parity": [_describe_finding(finding) for finding in findings],
    }


def _allowed(exported: ExportedComponent) -> dict[str, Any]:
    """The tolerance, with the ``allowances`` that it follows from by output, unless export.py gave it."""
    derived = {name: dict(terms) for name, terms in exported.allowances.items()}
    return {"tolerance": exported.tolerance, **({"allowances": derived} if derived else {})}


def _names(findings: Sequence[ParityResult]) -> list[str]:
    return sorted({finding.output for finding in findings})


def _worst(findings: Sequence[ParityResult]) -> dict[str, float | None]:
    qualities = [finding.metrics for finding in findings if finding.metrics]
    ratios = [snr for metrics in qualities if (snr := metrics.snr) is not None]
    return {
        "relative_error": _finite(max((metrics.relative for metrics in qualities), default=math.nan)),
        "snr_db": min(ratios) if ratios else None,
        "cosine_similarity": _finite(min((metrics.cosine for metrics in qualities), default=math.nan)),
        "difference": _finite(max((metrics.difference for metrics in qualities), default=math.nan)),
    }


def _describe_finding(finding: ParityResult) -> dict[str, Any]:
    figure = {"relative_error" if finding.relative else "difference": finding.difference}
    bucket = {"bucket": finding.bucket} if finding.bucket else {}
    return {"case": finding.case, **bucket, "output": finding.output, **figure, "tolerance": finding.tolerance}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
