"""``report.json``: what was built, out of which layers, why each was built or reused, and how it starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prebake.errors import newer_schema

SCHEMA = 2
REPORT = "report.json"


@dataclass(frozen=True)
class BuiltLayer:
    """A layer of a built image. ``diff_id`` is sha256 of the plain tar, ``digest`` that of the blob of ``blob_size`` bytes
    that the manifest names, ``size`` the bytes of its files; ``packing`` says why the blob is compressed or not."""

    name: str
    kind: str
    key: str
    inputs: Mapping[str, str]
    diff_id: str
    size: int
    digest: str
    blob_size: int
    packing: str = ""


@dataclass(frozen=True)
class LayerReport(BuiltLayer):
    """``status``: built (there was nothing to compare with), reused, or rebuilt; ``reason`` says why."""

    status: str = ""
    reason: str = ""


def explain_layers(built: Sequence[BuiltLayer], earlier: Mapping[str, Any] | None) -> list[LayerReport]:
    """Compare an image's layers with those of an earlier report, by name."""
    before = {layer["name"]: layer for layer in (earlier or {}).get("layers", [])}
    reports = []
    for layer in built:
        why = _why_base if layer.kind == "base" else _why
        status, reason = why(layer, before.get(layer.name))
        reports.append(LayerReport(**asdict(layer), status=status, reason=reason))
    return reports


def _why_base(layer: BuiltLayer, earlier: Mapping[str, Any] | None) -> tuple[str, str]:
    same = earlier is not None and earlier.get("diff_id") == layer.diff_id
    return ("reused", "the base image is the same") if same else ("built", "the base image is new here")


def _why(layer: BuiltLayer, earlier: Mapping[str, Any] | None) -> tuple[str, str]:
    if earlier is None:
        return "built", "no earlier build here had this layer"
    changed = changed_inputs(layer.inputs, earlier.get("inputs", {}))
    if earlier.get("diff_id") == layer.diff_id:
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


def latest_path(root: Path, model: str) -> Path:
    """The report of the model's latest build, of whatever target and checkpoint."""
    return root / "build" / model / REPORT


def report_path(root: Path, model: str, target: str, checkpoint: str) -> Path:
    """The report of the latest build of one target and checkpoint. An image of several models is built of one checkpoint of
    each (``toy/small,twin/small``), which image.yaml alone decides."""
    return root / "build" / model / (target if "/" in checkpoint else f"{target}-{checkpoint}") / REPORT


def find_report(
    root: Path, model: str, target: str, checkpoint: str, say: Callable[[str], None]
) -> Mapping[str, Any] | None:
    """The report of this target and checkpoint; None if there is none. One that somebody put where the latest lies counts too,
    and the file that was written last is taken. ``say`` hears of one that is too new."""
    found: dict[float, Mapping[str, Any]] = {}
    for path in (latest_path(root, model), report_path(root, model, target, checkpoint)):
        report = read_report(path, say)
        if report is not None and (report["target"], report["checkpoint"]) == (target, checkpoint):
            found[path.stat().st_mtime] = report
    return found[max(found)] if found else None


def list_reports(root: Path, model: str) -> list[tuple[str, str]]:
    """Target and checkpoint of each report."""
    found = (
        read_report(path, lambda _: None)
        for path in (latest_path(root, model), *(root / "build" / model).glob(f"*/{REPORT}"))
    )
    return sorted({(report["target"], report["checkpoint"]) for report in found if report})


def read_report(path: Path, say: Callable[[str], None]) -> Mapping[str, Any] | None:
    """An earlier report; None where there is none, or none that can be read. ``say`` hears of one that is too new."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    schema = document.get("schema") if isinstance(document, dict) else None
    if newer := newer_schema(schema, SCHEMA):
        say(f"{path} {newer}")
    return document if schema == SCHEMA else None


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write JSON so that a reader never sees half of it."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.writing")
    half.write_text(text, encoding="utf-8")
    half.replace(path)
