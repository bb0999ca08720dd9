"""Markdown of the generated pages."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence


def page(title: str, *parts: str) -> str:
    """A page with the comment that every generated page begins with. Each part is a block of Markdown."""
    comment = (
        "<!-- Generated from the code by `make reference` (`python -m tools.reference`). Do not edit this page. -->"
    )
    return "\n\n".join([comment, f"# {title}", *(_fill(part.strip("\n")) for part in parts if part)]) + "\n"


def _fill(block: str) -> str:
    """Prose and lists in lines of 120 columns; anything else as it is."""
    items = re.split(r"\n(?=- )", block)
    if items[0].startswith(("|", "#", "```", "    ", "<")):
        return block
    lines = (
        textwrap.wrap(
            item,
            120,
            subsequent_indent="  " * item.startswith("- "),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for item in items
    )
    return "\n".join(line for item in lines for line in item)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(head), "|" + "---|" * len(head), *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    """A bar in a cell is escaped, as it would end the cell even inside code."""
    return "|" + "|".join(f" {cell.replace('|', chr(92) + '|')} " if cell else " " for cell in cells) + "|"


def code(text: str) -> str:
    """The text as code; nothing if it is empty."""
    return f"`{text}`" if text else ""


def codes(texts: Iterable[str]) -> str:
    return ", ".join(map(code, texts))


def sentence(text: str) -> str:
    """A capital at the beginning, and a full stop at the end."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!", ":")) or not text else f"{text}."


_CODE = re.compile(
    r"(?<![\w/-])(--[a-z][a-z-]*[a-z](?: [A-Z]+\b)?|[A-Z]+(?:_[A-Z]+)+(?:=\w+)?|\w+\.(?:yaml|lock|json|py)\b"
    r"|[\w/]*<\w+>[\w/.]*|images/[A-Z/]*|/models\b)"
)


def mark_code(text: str) -> str:
    """Flags, variables, files and placeholders as code, except in parts that are code already."""
    parts = re.split(r"(`[^`]*`|\]\([^)]*\))", text)
    return "".join(part if index % 2 else _CODE.sub(r"`\1`", part) for index, part in enumerate(parts))


def first_paragraph(kind: object) -> str:
    """The first paragraph of a docstring in one line, in Markdown."""
    return mark_code(" ".join(from_docstring(inspect.getdoc(kind) or "").partition("\n\n")[0].split()))


def from_docstring(text: str) -> str:
    return re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL)
