"""The container of ``prebake run``: as one that is deployed, with a token for its administration and a port of 127.0.0.1."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence

from prebake.docker.containers.container_spec import Bind, ContainerSpec, ImageMount
from prebake.plan.image_config import GRPC_PORT, HTTP_PORT
from prebake.plan.values import GPU_TARGETS
from prebake.render.quantities import parse_quantity, resources_of
from prebake.spec.image.image import ImageSpec, Target

SHARED_MEMORY_BYTES = 256 * 2**20
"""Of /dev/shm, as in the Pods of ``prebake deploy``."""
PORTS = range(8000, 8100)
"""Ports of 127.0.0.1 that are tried in turn."""
ADMIN_TOKEN = "PREBAKE_ADMIN_TOKEN"  # noqa: S105  the name of the variable
EXIT_DELAY = "PREBAKE_FAILURE_EXIT_DELAY"
SERVER_PORT = "PREBAKE_PORT"


def container_spec(
    image: str,
    spec: ImageSpec,
    target: Target,
    *,
    members: Sequence[ImageSpec] = (),
    processors: int,
    environment: Mapping[str, str],
    binds: Sequence[Bind] = (),
    volumes: Sequence[ImageMount] = (),
) -> ContainerSpec:
    """Without the published port of HTTP. ``members`` are the models of an image of several, ``processors`` is the number of CPUs
    of the Engine's machine: the Engine refuses a container that asks for more."""
    resources = resources_of(spec, members)
    return ContainerSpec(
        image,
        environment=environment,
        ports=[GRPC_PORT] if spec.serving.grpc else [],
        binds=binds,
        images=volumes,
        memory=int(parse_quantity(resources.memory)),
        processors=min(float(parse_quantity(resources.cpu)), processors),
        shared_memory=SHARED_MEMORY_BYTES,
        gpus=-1 if target in GPU_TARGETS else 0,
        auto_remove=True,
    )


def server_variables(token: str, given: Mapping[str, str]) -> dict[str, str]:
    """The variables of the container. Those that were ``given`` win, a token of their own included."""
    ours = {
        ADMIN_TOKEN: token,
        SERVER_PORT: str(HTTP_PORT),  # also if PORT is given, as platforms do
        EXIT_DELAY: "0",  # a person reads the reason here, and not at /health
    }
    return ours | dict(given)


def find_ports(asked: int | None, *, local: bool) -> Iterator[int]:
    """The asked port; else the free ones of ``PORTS``. Only those of this machine (``local``) can be tried before."""
    if asked is not None:
        yield asked
        return
    yield from (port for port in PORTS if not local or is_free(port))


def is_free(port: int) -> bool:
    """Whether nothing listens at this port of 127.0.0.1, or of all addresses."""
    with socket.socket() as listening:
        # As Docker's proxy: connections that have ended do not count.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
