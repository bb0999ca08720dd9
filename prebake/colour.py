"""Whether text is coloured: no-color.org and force-color.org, in the order in which Python 3.13 and later obey them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

_BOLD_RED, _PLAIN = "\x1b[1;31m", "\x1b[0m"


def coloured(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """NO_COLOR (if it is not empty) wins, then FORCE_COLOR; else a terminal that knows colours is needed."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return is_terminal(stream, environ)


def is_terminal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a line can be drawn over and coloured. FORCE_COLOR does not make a log a terminal."""
    return stream.isatty() and environ.get("TERM") != "dumb"


def alarming(text: str, stream: TextIO) -> str:
    """``text`` as the first word of an error."""
    return f"{_BOLD_RED}{text}{_PLAIN}" if coloured(stream) else text
