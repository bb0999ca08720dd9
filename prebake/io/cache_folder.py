"""The folder in which Prebake keeps its store, base images and a private Engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """``$PREBAKE_CACHE``, else ``$XDG_CACHE_HOME/prebake``, else ``~/.cache/prebake``. A relative XDG_CACHE_HOME is
    ignored (XDG Base Directory Specification, "Basics")."""
    if folder := environ.get("PREBAKE_CACHE"):
        return Path(folder).expanduser().absolute()
    caches = Path(environ.get("XDG_CACHE_HOME", ""))
    return (caches if caches.is_absolute() else Path.home() / ".cache") / "prebake"
