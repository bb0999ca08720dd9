"""The licence that a model card names in the YAML at its beginning."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from prebake.workflow.beginnings.beginning import UNKNOWN

# The hub's identifiers whose SPDX form differs by more than upper case.
_SPDX = {"apache-2.0": "Apache-2.0"}
_UPPER = ("mit", "bsd-", "cc-", "cc0-", "gpl-", "lgpl-", "agpl-", "isc")


def read_licence(path: Path) -> str:
    """An SPDX identifier, ``LicenseRef-…`` where the licence has none, or ``LicenseRef-Unknown``."""
    said = _front_matter(path).get("license")
    if not isinstance(said, str) or said in ("other", "unknown") or not re.fullmatch(r"[A-Za-z0-9.-]+", said):
        return UNKNOWN
    if said.startswith(_UPPER):
        return said.upper().replace("-CLAUSE", "-Clause")
    return _SPDX.get(said, f"LicenseRef-{said}")


def _front_matter(path: Path) -> dict[str, object]:
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if not text.startswith("---\n"):
        return {}
    try:
        document = yaml.safe_load(text.removeprefix("---\n").partition("\n---")[0])
    except yaml.YAMLError:
        return {}
    return document if isinstance(document, dict) else {}
