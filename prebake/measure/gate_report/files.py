"""The files of a gate's result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prebake.io.atomic_write import write_text
from prebake.measure.gate_report.benchmark_action import list_benchmark_values
from prebake.measure.gate_report.html import format_html
from prebake.measure.gate_report.markdown import format_markdown


def write_gate_files(folder: Path, model: str, document: Mapping[str, Any]) -> tuple[Path, ...]:
    """Write ``MODEL-gate.json``, ``.html``, ``.md`` and ``MODEL-gate-action.json``, each atomically. Returns their paths."""
    texts = {
        f"{model}-gate.json": write_json(document),
        f"{model}-gate.html": format_html(document),
        f"{model}-gate.md": format_markdown(document),
        f"{model}-gate-action.json": write_json(list_benchmark_values(model, document)),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return tuple(folder / name for name in texts)


def write_json(value: Any) -> str:
    """JSON for people and programs. Raises ValueError for a number that JSON lacks: NaN or an infinite one."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
