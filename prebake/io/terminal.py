"""What a stream can show: colors, by no-color.org and force-color.org in the order that Python has used since 3.13, block
characters, and the number of columns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

_BOLD_RED, _BOLD_CYAN, _DIM, _RESET = "\x1b[1;31m", "\x1b[1;36m", "\x1b[2m", "\x1b[0m"
BLOCKS = "█▒●·│"
"""The characters beyond ASCII that charts and tables use."""


@dataclass(frozen=True)
class Screen:
    """``columns`` is the width. ``blocks``: it can show ``BLOCKS``."""

    columns: int = 80
    blocks: bool = False
    color: bool = False

    def strong(self, text: str) -> str:
        return f"{_BOLD_CYAN}{text}{_RESET}" if self.color else text

    def dim(self, text: str) -> str:
        return f"{_DIM}{text}{_RESET}" if self.color else text


def read_screen(stream: TextIO, environ: Mapping[str, str] = os.environ) -> Screen:
    """What ``stream`` can show. Its width is COLUMNS if that is set, else the terminal's; without a terminal it is 80."""
    return Screen(_count_columns(stream, environ), _can_encode(BLOCKS, stream), use_color(stream, environ))


def _count_columns(stream: TextIO, environ: Mapping[str, str]) -> int:
    columns = environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns or Screen.columns
    except (OSError, ValueError):  # no terminal, or no file
        return Screen.columns


def _can_encode(text: str, stream: TextIO) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def use_color(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """NO_COLOR comes first if it is not empty, then FORCE_COLOR; otherwise the stream has to be a terminal with colors."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return is_terminal(stream, environ)


def is_terminal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a line can be overwritten. FORCE_COLOR does not make a log file a terminal."""
    return stream.isatty() and environ.get("TERM") != "dumb"


def red(text: str, stream: TextIO) -> str:
    """``text`` in bold red, if the stream has colors."""
    return f"{_BOLD_RED}{text}{_RESET}" if use_color(stream) else text
