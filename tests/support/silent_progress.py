"""A progress display that shows nothing."""

from __future__ import annotations

import io

from prebake.checkpoints.progress import Progress, terminal_progress


def silent_progress() -> Progress:
    return terminal_progress(io.StringIO())
