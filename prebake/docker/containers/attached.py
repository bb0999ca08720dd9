"""A container in the foreground: its output is read as it comes, and the Engine removes it when it ends."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from threading import Event, Thread

from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import create_container, start_container
from prebake.errors import EngineError, PrebakeError
from prebake.io.log import Log

REMOVAL_SECONDS = 10.0
"""How long the Engine may take to remove a container that has ended."""
OUTPUT_SECONDS = 5.0
"""How long the last output of a container may take to arrive after its end."""
_PORT_TAKEN = ("port is already allocated", "address already in use", "ports are not available")
"""Words of Docker's Engine, of its proxy, and of Docker Desktop."""


class PortTaken(PrebakeError):
    """The port of this machine that ``prebake run`` is to publish is in use."""

    exit_code = 58


class AttachedContainer:
    """A started container whose output is being read. ``ended`` is set once it has ended and its output was read."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self.ended = Event()
        self._exit_code: int | None = None

    @property
    def exit_code(self) -> int:
        """The code of a container that has ended. Raises EngineError if the connection to the Engine broke before."""
        if self._exit_code is None:
            raise EngineError(
                "The connection to the Docker Engine broke, so how the container ended is not known.",
                next_action="see `docker ps` and the Engine's log",
            )
        return self._exit_code

    def published(self, port: int) -> int:
        """The port of this machine at which the Engine published a container port."""
        self._container.reload()
        return int(self._container.attrs["NetworkSettings"]["Ports"][f"{port}/tcp"][0]["HostPort"])

    def stop(self, seconds: float) -> None:
        """Send SIGTERM, and SIGKILL after ``seconds``. Returns when it has ended; does nothing if it has ended before."""
        with suppress(NotFound):
            self._container.stop(timeout=int(seconds))
        self.ended.wait(OUTPUT_SECONDS)

    def follow(self, connection: Connection, output: Iterable[bytes], on_line: Log) -> None:
        """Read the output to its end, and then the exit code. In a thread of its own."""
        try:
            for line in split_lines(output):
                on_line(line)
            self._exit_code = _read_exit_code(connection, str(self._container.id), self._container.attrs["Created"])
        except (DockerException, OSError):  # the Engine went away
            pass
        finally:
            self.ended.set()


@contextmanager
def attached(connection: Connection, spec: ContainerSpec, on_line: Log) -> Iterator[AttachedContainer]:
    """Start a container and call ``on_line`` for each line of its output, in a thread of its own. At the end of the block it is
    killed if it still runs, and gone.

    Raises EngineError if the Engine refuses, and PortTaken if it refuses for the sake of a published port.
    """
    with closing(connection.client()) as client:
        container = create_container(client, spec)
        try:
            output = container.attach(stream=True, logs=True)  # before the start: nothing of the output is lost
            _start(container, spec)
            running = AttachedContainer(container)
            Thread(target=running.follow, args=(connection, output, on_line), daemon=True).start()
            yield running
        finally:
            _remove(container)


def split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of an output that comes in pieces."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def _start(container: Container, spec: ContainerSpec) -> None:
    try:
        start_container(container, spec)
    except EngineError as refused:
        if not any(words in refused.message for words in _PORT_TAKEN):
            raise
        ports = ", ".join(map(str, spec.published.values()))
        raise PortTaken(
            f"Port {ports} of 127.0.0.1 is in use.",
            next_action="give another one with --port, or leave --port out for the next free one",
        ) from refused


def _read_exit_code(connection: Connection, container: str, created: str) -> int | None:
    """From the Engine's event, since a container with ``auto_remove`` may be gone. Waits for the event."""
    with closing(connection.client()) as client:
        wanted = {"type": "container", "container": container, "event": "die"}
        since = int(datetime.fromisoformat(created).timestamp())  # the Engine's clock; it reads numbers alone
        for event in client.events(since=since, filters=wanted, decode=True):
            return int(event["Actor"]["Attributes"]["exitCode"])
    return None


def _remove(container: Container) -> None:
    """Kill it if it runs, and wait until the Engine has removed it: it may already be at it."""
    deadline = time.monotonic() + REMOVAL_SECONDS
    while time.monotonic() < deadline:
        try:
            container.remove(force=True, v=True)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != 409:  # the removal is in progress
                raise
            time.sleep(0.02)
