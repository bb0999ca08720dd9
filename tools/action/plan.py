"""Plan the build, so that a wrong image.yaml is annotated before anything is built, and give the keys of the store's cache."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

from tools.action.github.log import set_output
from tools.action.prebake_command import annotate_error, run_prebake
from tools.action.settings import Settings, read_settings


def main() -> int:
    settings = read_settings()
    words = [*settings.image_words, *settings.cache_words, "--plan", "--json"]
    ended = run_prebake(settings, "build", *words, capture=True)
    if code := annotate_error(settings, ended):
        return code
    plan = json.loads(ended.stdout)
    settings.file("plan.json").write_text(ended.stdout, encoding="utf-8")
    set_output("store", cache_folder() / "store")
    set_output("cache-key", f"prebake-{platform.machine()}-{settings.model}-{lock_digest(settings, plan)[:32]}")
    return 0


def lock_digest(settings: Settings, plan: dict[str, Any]) -> str:
    """The sha256 of the image's ``weights.lock``, or of those of its models."""
    names = sorted(plan.get("models") or [settings.model])
    locks = [Path(settings.project) / "images" / name / "weights.lock" for name in names]
    return hashlib.sha256(b"\0".join(lock.read_bytes() for lock in locks)).hexdigest()


def cache_folder() -> Path:
    """Where Prebake keeps its store, by the rules of prebake/io/cache_folder.py."""
    if own := os.environ.get("PREBAKE_CACHE"):
        return Path(own).expanduser().absolute()
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (caches if caches.is_absolute() else Path.home() / ".cache") / "prebake"
