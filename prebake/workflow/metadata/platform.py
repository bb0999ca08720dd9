"""The platform of an image that is planned."""

from __future__ import annotations

from prebake.docker.connection import find_engine
from prebake.docker.platform import engine_platform, require_platform
from prebake.errors import EngineUnavailable
from prebake.oci.platforms import normalize_platform


def plan_platform(requested: str | None) -> str | None:
    """The Engine's platform, or the requested one if no Engine answers. Raises PlatformUnavailable if they differ."""
    try:
        connection = find_engine()
    except EngineUnavailable:
        return normalize_platform(requested) if requested else None
    found = engine_platform(connection)
    require_platform(requested, found)
    return found
