"""Containers: started hardened, waited for with a deadline, and removed whatever happens."""

from __future__ import annotations

import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from docker import DockerClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ReadTimeout

from prebake.engine.connection import Connection
from prebake.engine.container_spec import LABEL, ContainerSpec, docker_options
from prebake.engine.owners import has_ended
from prebake.errors import EngineError, StartFailed
from prebake.process import Narrator, narrate

Found = TypeVar("Found")

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Ended:
    """How a container ended. ``killed`` says that it ran out of memory."""

    exit_code: int
    killed: bool


class Running:
    """A started container."""

    def __init__(self, container: Container, requested: float) -> None:
        self._container = container
        self.requested = requested
        """When it was asked for, on the ``time.perf_counter`` clock."""

    @property
    def id(self) -> str:
        return str(self._container.id)

    def address(self, port: int) -> tuple[str, int]:
        """Where a published container port is reached from this machine. Raises StartFailed where the container
        ended."""
        bindings = self._attributes()["NetworkSettings"]["Ports"].get(f"{port}/tcp")
        if not bindings:
            raise self.failure(f"port {port} is not published")
        return str(bindings[0]["HostIp"]), int(bindings[0]["HostPort"])

    def ended(self) -> Ended | None:
        """None while it runs."""
        state = self._state()
        return (
            None
            if state["Status"] in ("running", "created", "paused")
            else Ended(state["ExitCode"], state["OOMKilled"])
        )

    def wait(self, seconds: float) -> Ended:
        """Until it ends. Raises StartFailed where that takes longer."""
        try:
            self._container.wait(timeout=seconds)
        except (ReadTimeout, RequestsConnectionError) as error:  # which of them, the library does not promise
            raise self.failure(f"did not end within {seconds:g} s") from error
        state = self._state()
        return Ended(state["ExitCode"], state["OOMKilled"])

    def wait_until(self, condition: Callable[[], Found | None], seconds: float, what: str) -> Found:
        """Until ``condition`` gives something. Raises StartFailed, with the last lines of the log, where the
        container ends before that or ``seconds`` pass."""
        deadline = time.monotonic() + seconds
        while (found := condition()) is None:
            end = self.ended()
            if end is not None:
                raise self.failure(
                    f"ended with code {end.exit_code}{' (out of memory)' if end.killed else ''} before {what}"
                )
            if time.monotonic() > deadline:
                raise self.failure(f"no {what} within {seconds:g} s")
            time.sleep(_POLL_SECONDS)
        return found

    def logs(self) -> str:
        """Everything that it printed, both outputs in order."""
        return bytes(self._container.logs()).decode(errors="replace")

    def stop(self, seconds: float = 10) -> Ended:
        """Ask it to end (SIGTERM), and end it after ``seconds``."""
        self._container.stop(timeout=int(seconds))
        return self.wait(seconds)

    def kill(self, signal: str = "SIGKILL") -> None:
        """Send a signal to its first process."""
        self._container.kill(signal)

    def run(self, command: Sequence[str]) -> tuple[int, str]:
        """Run a command inside; its exit code and output."""
        result = self._container.exec_run(list(command))
        return int(result.exit_code or 0), _text(result.output)

    def failure(self, what: str) -> StartFailed:
        """An error about this container, with the end of its log."""
        tail = "\n".join(f"  {line}" for line in self.logs().splitlines()[-20:])
        name = self._attributes()["Config"]["Image"]
        return StartFailed(
            f"container of {name} {what}:\n{tail}", next_action="read the log above; mend the image and build it again"
        )

    def _attributes(self) -> dict[str, Any]:
        self._container.reload()
        return dict(self._container.attrs)

    def _state(self) -> dict[str, Any]:
        return dict(self._attributes()["State"])


def _text(output: Any) -> str:
    """The library types output as a stream or not; here it is never one."""
    return bytes(output).decode(errors="replace")


@contextmanager
def running(connection: Connection, spec: ContainerSpec) -> Iterator[Running]:
    """Start a container; it is removed, with its volumes, when the block is left. Raises EngineError where the Engine
    refuses."""
    with closing(connection.client()) as client:
        requested = time.perf_counter()
        container = _create(client, spec)
        try:
            _start(container, spec)
            yield Running(container, requested)
        finally:
            _remove(container)


def run_to_end(connection: Connection, spec: ContainerSpec, *, seconds: float) -> tuple[Ended, str]:
    """Run a container until it ends by itself, and take its log."""
    with running(connection, spec) as container:
        return container.wait(seconds), container.logs()


def copy_out(connection: Connection, image: str, path: str, target: Path) -> Path:
    """Copy one file of an image to ``target``, without running it. Raises EngineError where it has none of that
    path."""
    with closing(connection.client()) as client:
        container = _create(client, ContainerSpec(image, command=["none"], entrypoint=[]))
        try:
            _extract(container, path, target)
        except NotFound as missing:
            raise EngineError(f"{image} has no {path}", next_action="see its layers by `docker history`") from missing
        finally:
            _remove(container)
    return target


def remove_strays(connection: Connection, *, owner: str | None = None, say: Narrator = narrate) -> int:
    """Remove containers that a killed process left: those of ``owner``, or of processes of this machine that are
    gone."""
    removed = 0
    with closing(connection.client()) as client:
        for container in client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
            whose = str(container.labels.get(LABEL, ""))
            if whose == owner or (owner is None and has_ended(whose)):
                say(f"removing stray container {container.name} of process {whose.rpartition(' ')[2]}")
                _remove(container)
                removed += 1
    return removed


def _create(client: DockerClient, spec: ContainerSpec) -> Container:
    try:
        return client.containers.create(
            spec.image, list(spec.command) if spec.command else None, **docker_options(spec)
        )
    except ImageNotFound as missing:
        raise EngineError(f"the Engine has no image {spec.image}", next_action="build it first") from missing
    except DockerException as refused:
        raise _refused(spec, refused) from refused


def _start(container: Container, spec: ContainerSpec) -> None:
    try:
        container.start()
    except APIError as refused:
        raise _refused(spec, refused) from refused


def _refused(spec: ContainerSpec, error: DockerException) -> EngineError:
    why = getattr(error, "explanation", None) or error
    device = "run it where the Engine has a GPU (NVIDIA Container Toolkit)"
    return EngineError(
        f"the Engine does not run {spec.image}: {why}",
        next_action=device if spec.gpus else "see `docker info`, and whether the image was built here",
    )


def _remove(container: Container) -> None:
    with suppress(NotFound):
        container.remove(force=True, v=True)


def _extract(container: Container, path: str, target: Path) -> None:
    """The Engine sends a tar of the one file."""
    chunks, _ = container.get_archive(path)
    with tempfile.TemporaryFile() as received:
        for chunk in chunks:
            received.write(chunk)
        received.seek(0)
        with tarfile.open(fileobj=received) as archive:
            source = archive.extractfile(archive.next() or tarfile.TarInfo())
            if source is None:
                raise EngineError(f"{path} is no plain file", next_action="name a file")
            with source, target.open("wb") as file:
                while block := source.read(1 << 20):
                    file.write(block)
