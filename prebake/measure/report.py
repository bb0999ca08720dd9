"""``report.json``: what was built, out of which layers, why each was built or reused, and how it starts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from prebake.plan.values import Layer, Plan

SCHEMA = 1


class BuiltLayer(Protocol):
    """A layer of a built image as the Engine tells it."""

    @property
    def diff(self) -> str:
        """sha256 of the plain tar (``sha256:…``), an OCI diff id."""

    @property
    def size(self) -> int: ...


@dataclass(frozen=True)
class LayerReport:
    """``status``: built (there was nothing to compare with), reused, or rebuilt; ``reason`` says why."""

    name: str
    kind: str
    digest: str
    size: int
    key: str
    inputs: Mapping[str, str]
    status: str
    reason: str


def explain_layers(plan: Plan, built: Sequence[BuiltLayer], earlier: Mapping[str, Any] | None) -> list[LayerReport]:
    """Match the image's topmost layers with the plan's, in order, and compare them with an earlier report's."""
    before = {layer["name"]: layer for layer in (earlier or {}).get("layers", [])}
    base = built[: len(built) - len(plan.layers)]
    reports = [_base_report(layer, index, before) for index, layer in enumerate(base)]
    for layer, found in zip(plan.layers, built[len(base) :], strict=True):
        status, reason = _why(layer, found.diff, before.get(layer.name))
        reports.append(
            LayerReport(layer.name, layer.kind, found.diff, found.size, layer.key, layer.inputs, status, reason)
        )
    return reports


def _base_report(layer: BuiltLayer, index: int, before: Mapping[str, Mapping[str, Any]]) -> LayerReport:
    name = f"base {index + 1}"
    same = name in before and before[name]["digest"] == layer.diff
    status, reason = ("reused", "the base image is the same") if same else ("built", "the base image is new here")
    return LayerReport(name, "base", layer.diff, layer.size, layer.diff, {}, status, reason)


def _why(layer: Layer, digest: str, earlier: Mapping[str, Any] | None) -> tuple[str, str]:
    if earlier is None:
        return "built", "no earlier build here had this layer"
    changed = changed_inputs(layer.inputs, earlier.get("inputs", {}))
    if earlier["digest"] == digest:
        return (
            "reused",
            f"same bytes, though {', '.join(changed)} changed" if changed else "nothing it is made of changed",
        )
    if changed:
        return "rebuilt", f"changed: {', '.join(changed)}"
    return "rebuilt", "nothing it is made of changed: it was made again, to other bytes"


def changed_inputs(now: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """The names of inputs that are new, gone or different."""
    return sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))


def read_report(path: Path) -> Mapping[str, Any] | None:
    """An earlier report; None where there is none, or none that can be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and document.get("schema") == SCHEMA else None


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write JSON so that a reader never sees half of it."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.writing")
    half.write_text(text, encoding="utf-8")
    half.replace(path)
