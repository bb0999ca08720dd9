"""The platform that an Engine builds and starts images for."""

from __future__ import annotations

from contextlib import closing

from prebake.docker.connection import Connection
from prebake.errors import PrebakeError
from prebake.oci.platforms import normalize_platform


class PlatformUnavailable(PrebakeError):
    """``--platform`` or ``DOCKER_DEFAULT_PLATFORM`` names another platform than the Engine's."""

    exit_code = 52


def engine_platform(connection: Connection) -> str:
    """The Engine's operating system and architecture, such as ``linux/amd64``."""
    with closing(connection.client()) as client:
        version = client.version()
    return normalize_platform(f"{version['Os']}/{version['Arch']}")


def require_platform(requested: str | None, available: str) -> None:
    """Raises PlatformUnavailable if ``requested`` is another platform than ``available``, the Engine's."""
    if requested is None or normalize_platform(requested) == available:
        return
    raise PlatformUnavailable(
        f"--platform {requested}: this Engine builds and starts images for {available}.",
        next_action=f"build with an Engine on a {normalize_platform(requested)} machine (set DOCKER_HOST): graphs are compiled "
        "for the processor that serves, and the image's answer is compared on it; leave --platform and "
        f"DOCKER_DEFAULT_PLATFORM out for {available}",
    )
