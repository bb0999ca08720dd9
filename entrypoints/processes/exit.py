"""The end of the process."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn


def finish(code: int) -> NoReturn:
    """End now. An orderly end of the interpreter would wait for native threads, or crash among them."""
    try:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # nobody reads it any more
                stream.flush()
        end_log = getattr(sys.modules.get("entrypoints.processes.log"), "end_log", None)
        if end_log is not None:
            end_log()
    finally:
        os._exit(code)
