"""A hint for a name that is not known."""

from __future__ import annotations

from collections.abc import Sequence

MAX_LENGTH = 100
"""Characters of a word that gets a suggestion: comparing words takes a time that grows with the product of their lengths."""


def suggest(word: str, known: Sequence[str]) -> str:
    """`` (did you mean "x"?)``, or an empty string. difflib is imported late: a start without a fault does not need it."""
    if len(word) > MAX_LENGTH:
        return ""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    return f' (did you mean "{close[0]}"?)' if close else ""
