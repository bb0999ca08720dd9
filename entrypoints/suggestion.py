"""A hint for a name that is not known."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_WORD = 100
"""Characters: difflib takes time that grows with the square of a word's length."""


def suggest(word: str, known: Sequence[str]) -> str:
    """`` (did you mean "x"?)``, or an empty string. difflib is imported late: a start without a fault does not need it."""
    if len(word) > LONGEST_WORD:
        return ""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    return f' (did you mean "{close[0]}"?)' if close else ""
