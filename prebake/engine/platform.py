"""The platform that an Engine builds and starts images for, as OCI writes it: ``linux/amd64``."""

from __future__ import annotations

from contextlib import closing

from prebake.engine.connection import Connection
from prebake.errors import PrebakeError

_NAMES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}


class PlatformUnavailable(PrebakeError):
    """An image of another platform than the Engine's was asked for."""

    exit_code = 52


def engine_platform(connection: Connection) -> str:
    """Operating system and processor, by the Engine's own word."""
    with closing(connection.client()) as client:
        version = client.version()
    return normalised(f"{version['Os']}/{version['Arch']}")


def normalised(platform: str) -> str:
    """One spelling of each platform, as containerd has it: ``linux/x86_64`` and ``amd64`` are ``linux/amd64``."""
    parts = platform.strip().lower().split("/")
    system, processor, *variant = parts if len(parts) > 1 else ("linux", *parts)
    processor = _NAMES.get(processor, processor)
    known = {("amd64", "v1"), ("arm64", "v8")}  # the variants that every such processor is
    return "/".join([system, processor, *(each for each in variant if (processor, each) not in known)])


def require_platform(asked: str | None, found: str) -> None:
    """Raises PlatformUnavailable if ``asked`` is another platform than ``found``, the Engine's."""
    if asked is None or normalised(asked) == found:
        return
    raise PlatformUnavailable(
        f"--platform {asked}: this Engine builds and starts images for {found}.",
        next_action=f"build with an Engine on a machine of {normalised(asked)} (DOCKER_HOST names one): graphs are compiled for "
        "the processor that serves, and the image's answer is compared on it; leave --platform and DOCKER_DEFAULT_PLATFORM "
        f"out for {found}",
    )
