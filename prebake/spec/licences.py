"""Licences as SPDX expressions. ``packaging.licenses`` knows the list and the grammar (PEP 639); the names that others use
are mapped here."""

from __future__ import annotations

import difflib
import re
from contextlib import suppress

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

UNKNOWN = "LicenseRef-Unknown"
_OPERATORS = ("and", "or", "with")
# The hub's names whose SPDX form is another word, or that leave open which licence of a family is meant (the family's own
# text allows later versions only if the author says so).
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
_SAYS_NOTHING = ("other", "unknown", "none", "")


class LicenceInvalid(ValueError):
    """The text is no SPDX expression. The message says which word is wrong, and what may have been meant."""


def canonical_licence(text: str) -> str:
    """An SPDX expression in its canonical spelling (``apache-2.0`` becomes ``Apache-2.0``). Raises LicenceInvalid."""
    if (found := _canonical(text)) is None:
        raise LicenceInvalid(f"{text!r} is no SPDX licence expression{_hint(text)}")
    return found


def is_licence(text: str) -> bool:
    """Whether the text is an SPDX expression."""
    return _canonical(text) is not None


def is_identifier(text: str) -> bool:
    """Whether the text is one identifier of SPDX's list: no expression, and no ``LicenseRef-…``."""
    return re.fullmatch(r"(?!LicenseRef-)[A-Za-z0-9.-]+", text) is not None and is_licence(text)


def licence_reference(name: str) -> str:
    """``LicenseRef-…`` of a licence that SPDX does not list (its annex "SPDX License Expressions": letters, digits, ``.``
    and ``-``)."""
    cleaned = re.sub(r"[^A-Za-z0-9.-]+", "-", name.removeprefix("LicenseRef-")).strip("-.")
    return f"LicenseRef-{cleaned}" if cleaned else UNKNOWN


def hub_licence(identifier: str) -> str:
    """The SPDX form of a licence as model cards of the hub name it; ``LicenseRef-…`` if SPDX does not list it."""
    name = identifier.strip()
    if name.lower() in _SAYS_NOTHING or not re.fullmatch(r"[A-Za-z0-9.+-]+", name):
        return UNKNOWN
    if mapped := _HUB.get(name.lower()):
        return mapped
    return canonical_licence(name) if is_licence(name) else licence_reference(name)


def _canonical(text: str) -> str | None:
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return None


def _hint(text: str) -> str:
    """Of the first word that SPDX does not know."""
    for word in re.findall(r"[^\s()]+", text):
        if word.lower() in _OPERATORS or is_licence(word):
            continue
        near = "" if word.lower().startswith("licenseref-") else _nearest(word)
        meant = f"did you mean {near!r}? If not, write" if near else "write"
        where = f", {word!r} is not in SPDX's list" if word != text else ""
        return f"{where}: {meant} {licence_reference(word)!r} for a licence that SPDX does not list"
    return ": write it as in 'MIT AND Apache-2.0'"


def _nearest(word: str) -> str:
    """The identifier of SPDX's list that is most like a word; empty if none is."""
    known: dict[str, str] = {}
    with suppress(ImportError):  # the list is not part of packaging's interface, and only a hint depends on it
        from packaging.licenses._spdx import LICENSES

        known = {name: entry["id"] for name, entry in LICENSES.items() if not entry["deprecated"]}
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return known[found[0]] if found else ""
