"""The license in the YAML front matter of a model card."""

from __future__ import annotations

from pathlib import Path

import yaml

from prebake.spec.image.licenses import UNKNOWN, hub_license, license_reference


def read_license(path: Path) -> str:
    """An SPDX expression, ``LicenseRef-…`` if SPDX does not list the license, or ``LicenseRef-Unknown``.

    Several licenses are joined by AND: whoever keeps to all of them keeps to the right one.
    """
    front = _front_matter(path)
    value = front.get("license")
    names = [name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)]
    found = list(dict.fromkeys(hub_license(name) for name in names))
    if found in ([], [UNKNOWN]):  # `other` has its name in license_name ("Model cards: license_name")
        named = front.get("license_name")
        return license_reference(named) if isinstance(named, str) else UNKNOWN
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
