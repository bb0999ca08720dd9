"""Licenses as SPDX expressions. ``packaging.licenses`` has the list and grammar (PEP 639); the hub's names are mapped here."""

from __future__ import annotations

import difflib
import re
from contextlib import suppress

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

UNKNOWN = "LicenseRef-Unknown"
_OPERATORS = ("and", "or", "with")
# The hub's names with another SPDX identifier, and those that leave the version open. GNU licenses allow later versions only if
# the author says so.
_HUB = {
    "pddl": "PDDL-1.0",
    "odbl": "ODbL-1.0",
    "odc-by": "ODC-By-1.0",
    "c-uda": "C-UDA-1.0",
    "lgpl-lr": "LGPLLR",
    "gpl-2.0": "GPL-2.0-only",
    "gpl-3.0": "GPL-3.0-only",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "agpl-3.0": "AGPL-3.0-only",
}
_NO_NAME = ("other", "unknown", "none", "")


class LicenseInvalid(ValueError):
    """The text is not an SPDX expression. The message has the wrong word and what to write."""


def canonical_license(text: str) -> str:
    """An SPDX expression in its canonical spelling (``apache-2.0`` becomes ``Apache-2.0``). Raises LicenseInvalid."""
    if (expression := _canonical(text)) is None:
        raise LicenseInvalid(f"{text!r} is not an SPDX license expression{_hint(text)}")
    return expression


def is_license(text: str) -> bool:
    """Whether the text is an SPDX expression."""
    return _canonical(text) is not None


def is_identifier(text: str) -> bool:
    """Whether the text is one identifier of SPDX's list, and not an expression or a ``LicenseRef-…``."""
    return re.fullmatch(r"(?!LicenseRef-)[A-Za-z0-9.-]+", text) is not None and is_license(text)


def license_reference(name: str) -> str:
    """``LicenseRef-…`` of a license that SPDX does not list (its annex "SPDX License Expressions": letters, digits, ``.``
    and ``-``)."""
    cleaned = re.sub(r"[^A-Za-z0-9.-]+", "-", name.removeprefix("LicenseRef-")).strip("-.")
    return f"LicenseRef-{cleaned}" if cleaned else UNKNOWN


def hub_license(identifier: str) -> str:
    """The SPDX form of a license as model cards of the hub name it; ``LicenseRef-…`` if SPDX does not list it."""
    name = identifier.strip()
    if name.lower() in _NO_NAME or not re.fullmatch(r"[A-Za-z0-9.+-]+", name):
        return UNKNOWN
    if mapped := _HUB.get(name.lower()):
        return mapped
    return canonical_license(name) if is_license(name) else license_reference(name)


def _canonical(text: str) -> str | None:
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return None


def _hint(text: str) -> str:
    """The first word that SPDX does not list, and what to write instead."""
    for word in re.findall(r"[^\s()]+", text):
        if word.lower() in _OPERATORS or is_license(word):
            continue
        near = "" if word.lower().startswith("licenseref-") else _nearest(word)
        meant = f"did you mean {near!r}? If not, write" if near else "write"
        where = f", {word!r} is not in SPDX's list" if word != text else ""
        return f"{where}: {meant} {license_reference(word)!r} for a license that SPDX does not list"
    return ": write it as in 'MIT AND Apache-2.0'"


def _nearest(word: str) -> str:
    """The nearest identifier of SPDX's list; empty if none is near."""
    known: dict[str, str] = {}
    with suppress(ImportError):  # the list is private to packaging; only a hint depends on it
        from packaging.licenses._spdx import LICENSES

        known = {name: entry["id"] for name, entry in LICENSES.items() if not entry["deprecated"]}
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return known[found[0]] if found else ""
