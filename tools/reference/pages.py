"""The generated files by their path in the repository, and the function that generates each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from prebake.measure.gate_report.schema import json_schema as gate_schema
from prebake.spec.reader import json_schema as image_schema
from tools.reference import commands, endpoints, environment, exit_codes, gate, image_yaml, metrics, report

ROOT = Path(__file__).parents[2]


def write_image_schema() -> str:
    """What ``prebake schema`` prints."""
    return json.dumps(image_schema(), indent=2, ensure_ascii=False) + "\n"


def write_gate_schema() -> str:
    """What ``prebake schema --gate`` prints."""
    return json.dumps(gate_schema(), indent=2, ensure_ascii=False) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/commands.md": commands.write_page,
    "docs/reference/image-yaml.md": image_yaml.write_page,
    "docs/reference/exit-codes.md": exit_codes.write_page,
    "docs/reference/environment.md": environment.write_page,
    "docs/reference/metrics.md": metrics.write_page,
    "docs/reference/endpoints.md": endpoints.write_page,
    "docs/reference/report.md": report.write_page,
    "docs/reference/gate.md": gate.write_page,
    "docs/image.schema.json": write_image_schema,
    "docs/gate.schema.json": write_gate_schema,
}
