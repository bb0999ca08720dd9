"""The licence that a model card names in the YAML at its beginning."""

from __future__ import annotations

from pathlib import Path

import yaml

from prebake.spec.licences import UNKNOWN, hub_licence, licence_reference


def read_licence(path: Path) -> str:
    """An SPDX expression, ``LicenseRef-…`` if SPDX does not list the licence, or ``LicenseRef-Unknown``.

    Of several licences all are named: who keeps to each of them is right whichever was meant.
    """
    front = _front_matter(path)
    said = front.get("license")
    names = [each for each in (said if isinstance(said, list) else [said]) if isinstance(each, str)]
    found = list(dict.fromkeys(hub_licence(each) for each in names))
    if found in ([], [UNKNOWN]):  # `other` is named beside it ("Model cards: license_name")
        named = front.get("license_name")
        return licence_reference(named) if isinstance(named, str) else UNKNOWN
    return " AND ".join(found)


def _front_matter(path: Path) -> dict[str, object]:
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if not text.startswith("---\n"):
        return {}
    try:
        document = yaml.safe_load(text.removeprefix("---\n").partition("\n---")[0])
    except yaml.YAMLError:
        return {}
    return document if isinstance(document, dict) else {}
