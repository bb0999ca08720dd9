"""``report.json``: the built image, its layers, why each was built or reused, and its measured start."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prebake.errors import newer_schema
from prebake.io.atomic_write import write_text
from prebake.measure.report.report_checks import find_report_problems

SCHEMA = 3
REPORT = "report.json"


@dataclass(frozen=True)
class BuiltLayer:
    """A layer of a built image. ``diff_id`` is sha256 of the plain tar, ``digest`` that of the blob of ``blob_size`` bytes
    that the manifest names, ``size`` the bytes of its files; ``compression_reason`` says why the blob is compressed or not."""

    name: str
    kind: str
    key: str
    inputs: Mapping[str, str]
    diff_id: str
    size: int
    digest: str
    blob_size: int
    compression_reason: str = ""


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
    """The path of the report of the model's latest build, of any target and checkpoint."""
    return root / "build" / model / REPORT


def report_path(root: Path, model: str, target: str, checkpoint: str) -> Path:
    """The path of the report of the latest build of one target and checkpoint. An image of several models has one checkpoint of
    each (``toy/small,twin/small``), which image.yaml alone decides."""
    return root / "build" / model / (target if "/" in checkpoint else f"{target}-{checkpoint}") / REPORT


def find_report(
    root: Path, model: str, target: str, checkpoint: str, log: Callable[[str], None]
) -> Mapping[str, Any] | None:
    """The report of this target and checkpoint; None if there is none. A report that a user copied to the path of the latest one
    counts too; the file that was written last is taken. A report that is too new is logged."""
    found: dict[float, Mapping[str, Any]] = {}
    for path in (latest_path(root, model), report_path(root, model, target, checkpoint)):
        report = read_report(path, log)
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


def read_report(path: Path, log: Callable[[str], None]) -> Mapping[str, Any] | None:
    """An earlier report; None if there is none. A report that cannot be used is logged and ignored."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        log(f"{path} cannot be read and is ignored: {error}")
        return None
    if why := _find_fault(document):
        log(f"{path} {why}")
        return None
    found: Mapping[str, Any] = document
    return found


def _find_fault(document: Any) -> str:
    schema = document.get("schema") if isinstance(document, dict) else None
    if newer := newer_schema(schema, SCHEMA):
        return newer
    if isinstance(schema, int) and not isinstance(schema, bool) and schema < SCHEMA:
        return f"has schema {schema}, but this Prebake reads {SCHEMA}; it is ignored: build again"
    if schema != SCHEMA:
        return f"is not a report of schema {SCHEMA} and is ignored: build again"
    problems = find_report_problems(document)
    return f"cannot be used and is ignored: {'; '.join(problems[:5])}: build again" if problems else ""


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write JSON atomically: a reader never sees half of it."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
