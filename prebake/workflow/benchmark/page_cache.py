"""The page cache before each timed start."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from prebake.workflow.absent.errors import StateUnavailable

DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def prepare_start(state: str) -> Callable[[], None]:
    """The function to call before each start: it drops the page cache if ``state`` is ``cold``. Raises StateUnavailable."""
    if state != "cold":
        return _nothing
    if not os.access(DROP_CACHES, os.W_OK):
        raise StateUnavailable(
            "--state cold drops the page cache, which only root can do.",
            next_action="run the command as root, or without --state cold",
        )
    return drop_page_cache


def drop_page_cache() -> None:
    os.sync()
    DROP_CACHES.write_text("3\n")


def _nothing() -> None:
    """Leave the page cache warm."""
