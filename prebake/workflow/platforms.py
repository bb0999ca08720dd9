"""The platform of an image that is planned."""

from __future__ import annotations

from prebake.engine.connection import find_engine
from prebake.engine.platform import engine_platform, normalised, require_platform
from prebake.errors import EngineUnavailable


def plan_platform(asked: str | None) -> str | None:
    """The Engine's, or the one that is asked for if no Engine answers. Raises PlatformUnavailable if they differ."""
    try:
        connection = find_engine()
    except EngineUnavailable:
        return normalised(asked) if asked else None
    found = engine_platform(connection)
    require_platform(asked, found)
    return found
