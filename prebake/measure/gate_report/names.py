"""Text with names that come from outside, such as those of branches, modules and files: one line, no invisible characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

MAX_NAME = 160
"""Characters of a name that are shown."""


class Name(str):
    """Text that the project, its user or its packages chose. Whoever writes it out escapes it, and marks it as code."""

    __slots__ = ()


Words = Sequence[str]
"""A sentence in parts; those that are a ``Name`` come from outside."""


def clean(text: str, most: int | None = None) -> str:
    """``text`` in one line. A control or format character, such as one that reverses the direction of what follows, becomes its
    escape sequence. Of more than ``most`` characters the middle is left out."""
    line = "".join(_visible(sign) for sign in " ".join(text.split()))
    if most is None or len(line) <= most:
        return line
    half = (most - 1) // 2
    return f"{line[:half]}…{line[-half:]}"


def _visible(sign: str) -> str:
    """Categories C: controls, formats, surrogates, private and unassigned ones; Zl and Zp break lines."""
    hidden = unicodedata.category(sign)[0] == "C" or unicodedata.category(sign) in ("Zl", "Zp")
    return sign.encode("unicode_escape", "backslashreplace").decode() if hidden else sign


def join_words(words: Words) -> str:
    """The sentence as plain text."""
    return "".join(clean(word, MAX_NAME) if isinstance(word, Name) else word for word in words)
