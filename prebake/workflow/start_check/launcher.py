"""Start containers on the Engine as they would be deployed, to measure them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec, ImageMount
from prebake.docker.containers.containers import RunningContainer, open_image, run_to_end, running
from prebake.errors import StartFailed

SERVER_PORT = 8000
PROGRAM_SECONDS = 600.0


class StartedServer:
    """A running server, reached on loopback."""

    pulled = 0.0
    """The Engine had the image."""

    def __init__(self, container: RunningContainer) -> None:
        self._container = container
        self.requested = container.requested
        self.port = container.address(SERVER_PORT)[1]

    def logs(self) -> str:
        return self._container.logs()

    def exit_code(self) -> int | None:
        ended = self._container.ended()
        return None if ended is None else ended.exit_code


class EngineLauncher:
    """The Launcher of ``prebake.measure``, on a Docker Engine. ``gpus`` is a number, -1 for all; ``environment`` are
    variables that servers get in addition to their image's."""

    def __init__(
        self,
        connection: Connection,
        volumes: Sequence[ImageMount] = (),
        gpus: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._connection = connection
        self._volumes = tuple(volumes)
        self._gpus = gpus
        self._environment = dict(environment or {})

    def at(self, connection: Connection) -> EngineLauncher:
        """The same launcher at another Engine."""
        return EngineLauncher(connection, self._volumes, self._gpus, self._environment)

    def container(self, image: str) -> ContainerSpec:
        """The container as it would be deployed."""
        return ContainerSpec(
            image, environment=self._environment, ports=[SERVER_PORT], images=self._volumes, gpus=self._gpus
        )

    @contextmanager
    def start(self, image: str) -> Iterator[StartedServer]:
        with running(self._connection, self.container(image)) as container:
            yield StartedServer(container)

    def time_program(self, image: str, command: Sequence[str]) -> float:
        spec = replace(self.container(image), command=list(command[1:]), entrypoint=[command[0]])
        with running(self._connection, spec) as container:
            container.wait(PROGRAM_SECONDS)
            return time.perf_counter() - container.requested

    def run(self, image: str, command: Sequence[str]) -> str:
        spec = ContainerSpec(image, command=list(command[1:]), entrypoint=[command[0]], images=self._volumes)
        ended, output = run_to_end(self._connection, spec, seconds=PROGRAM_SECONDS)
        if ended.exit_code:
            raise StartFailed(
                f"{command[0]} in {image} ended with code {ended.exit_code}:\n{output}",
                next_action="run the command by hand in a container of the image",
            )
        return output

    @contextmanager
    def open_files(self, image: str) -> Iterator[Callable[[str], bytes]]:
        with ExitStack() as opened:

            @cache
            def files_of(owner: str) -> Callable[[str], bytes]:
                return opened.enter_context(open_image(self._connection, owner))

            def read(path: str) -> bytes:
                for volume in self._volumes:
                    if path.startswith(f"{volume.target}/"):
                        return files_of(volume.image)(f"/{volume.folder}{path.removeprefix(volume.target)}")
                return files_of(image)(path)

            yield read
