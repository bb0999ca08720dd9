"""Suggestions for an unknown word."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, known: Sequence[str], *, cutoff: float = 0.6) -> str:
    """``did you mean 'x'?`` for the nearest known word; empty if none is near."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=cutoff)
    return f"did you mean {found[0]!r}?" if found else ""


def nearest_or_all(word: str, known: Sequence[str], intro: str, *, cutoff: float = 0.6) -> str:
    """The nearest known word, or all of them behind ``intro``."""
    return nearest(word, known, cutoff=cutoff) or f"{intro}: {', '.join(known)}"
