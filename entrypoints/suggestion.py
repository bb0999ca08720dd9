"""A hint for a name that is not known."""

from __future__ import annotations

from collections.abc import Sequence


def suggest(word: str, known: Sequence[str]) -> str:
    """`` (did you mean "x"?)``, or an empty string. difflib is imported late: a start without a fault does not need it."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    return f' (did you mean "{close[0]}"?)' if close else ""
