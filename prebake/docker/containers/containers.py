"""Containers: started hardened, awaited with a timeout, and always removed."""

from __future__ import annotations

import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from docker import DockerClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ReadTimeout

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import LABEL, ContainerSpec, docker_options
from prebake.docker.containers.owners import has_ended
from prebake.errors import EngineError, StartFailed
from prebake.io.log import Log, log_to_stderr

Result = TypeVar("Result")

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class ContainerExit:
    """The exit of a container. ``killed`` is true if it ran out of memory."""

    exit_code: int
    killed: bool


class RunningContainer:
    """A started container."""

    def __init__(self, container: Container, requested: float) -> None:
        self._container = container
        self.requested = requested
        """When the container was requested, by ``time.perf_counter``."""

    @property
    def id(self) -> str:
        return str(self._container.id)

    def address(self, port: int) -> tuple[str, int]:
        """The address of a published container port on this machine. Raises StartFailed if the container has ended."""
        bindings = self._attributes()["NetworkSettings"]["Ports"].get(f"{port}/tcp")
        if not bindings:
            raise self.failure(f"does not publish port {port}")
        return str(bindings[0]["HostIp"]), int(bindings[0]["HostPort"])

    def ended(self) -> ContainerExit | None:
        """The exit; None while the container runs."""
        state = self._state()
        return (
            None
            if state["Status"] in ("running", "created", "paused")
            else ContainerExit(state["ExitCode"], state["OOMKilled"])
        )

    def wait(self, seconds: float) -> ContainerExit:
        """Wait until the container ends. Raises StartFailed after ``seconds``."""
        try:
            self._container.wait(timeout=seconds)
        except (ReadTimeout, RequestsConnectionError) as error:  # the SDK raises either
            raise self.failure(f"did not end within {seconds:g} s") from error
        state = self._state()
        return ContainerExit(state["ExitCode"], state["OOMKilled"])

    def wait_until(self, condition: Callable[[], Result | None], seconds: float, what: str) -> Result:
        """Wait until ``condition`` returns something, and return it. Raises StartFailed, with the last lines of the log, if the
        container ends before or after ``seconds``."""
        deadline = time.monotonic() + seconds
        while (result := condition()) is None:
            end = self.ended()
            if end is not None:
                raise self.failure(
                    f"ended with code {end.exit_code}{' (out of memory)' if end.killed else ''} before {what}"
                )
            if time.monotonic() > deadline:
                raise self.failure(f"had no {what} within {seconds:g} s")
            time.sleep(_POLL_SECONDS)
        return result

    def logs(self) -> str:
        """All output, of stdout and stderr in order."""
        return bytes(self._container.logs()).decode(errors="replace")

    def stop(self, seconds: float = 10) -> ContainerExit:
        """Send SIGTERM, and SIGKILL after ``seconds``."""
        self._container.stop(timeout=int(seconds))
        return self.wait(seconds)

    def kill(self, signal: str = "SIGKILL") -> None:
        """Send a signal to the container's first process."""
        self._container.kill(signal)

    def run(self, command: Sequence[str]) -> tuple[int, str]:
        """Run a command in the container. Returns its exit code and output."""
        assert self._container.client is not None  # the container came from one  # noqa: S101
        api = self._container.client.api
        execution = api.exec_create(self._container.id, list(command))["Id"]
        output = api.exec_start(execution)
        while (state := api.exec_inspect(execution))["Running"]:  # its output may end before it does
            time.sleep(_POLL_SECONDS)
        code = state["ExitCode"]  # None if the container ended first
        return 137 if code is None else int(code), _text(output)

    def failure(self, problem: str) -> StartFailed:
        """An error of this container, with the end of its log."""
        tail = "\n".join(f"  {line}" for line in self.logs().splitlines()[-20:])
        name = self._attributes()["Config"]["Image"]
        return StartFailed(
            f"The container of {name} {problem}:\n{tail}",
            next_action="read the log above, correct the image and build it again",
        )

    def _attributes(self) -> dict[str, Any]:
        self._container.reload()
        return dict(self._container.attrs)

    def _state(self) -> dict[str, Any]:
        return dict(self._attributes()["State"])


def _text(output: Any) -> str:
    """The SDK's type allows a stream, which this output never is."""
    return bytes(output).decode(errors="replace")


@contextmanager
def running(connection: Connection, spec: ContainerSpec) -> Iterator[RunningContainer]:
    """Start a container, and remove it with its volumes at the end of the block. Raises EngineError if the Engine refuses."""
    with closing(connection.client()) as client:
        requested = time.perf_counter()
        container = create_container(client, spec)
        try:
            start_container(container, spec)
            yield RunningContainer(container, requested)
        finally:
            remove_container(container)


def run_to_end(connection: Connection, spec: ContainerSpec, *, seconds: float) -> tuple[ContainerExit, str]:
    """Run a container until it ends. Returns its exit and its log."""
    with running(connection, spec) as container:
        return container.wait(seconds), container.logs()


@contextmanager
def open_image(connection: Connection, image: str) -> Iterator[Callable[[str], bytes]]:
    """While the block lasts, a function that returns the content of a file of an image, by its path. The image does not run.
    The function raises EngineError if the image has no such file."""
    with closing(connection.client()) as client:
        container = create_container(client, ContainerSpec(image, command=["none"], entrypoint=[]))
        try:
            yield partial(_read, container, image)
        finally:
            remove_container(container)


def copy_out(connection: Connection, image: str, path: str, target: Path) -> Path:
    """Copy one file of an image to ``target``, without running the image. Raises EngineError if it has no such file."""
    with open_image(connection, image) as read:
        target.write_bytes(read(path))
    return target


def remove_strays(connection: Connection, *, owner: str | None = None, log: Log = log_to_stderr) -> int:
    """Remove the containers of ``owner``, or of all processes of this machine that have ended. Returns their number."""
    removed = 0
    with closing(connection.client()) as client:
        for container in client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
            label = str(container.labels.get(LABEL, ""))
            if label == owner or (owner is None and has_ended(label)):
                log(f"removing stray container {container.name} of process {label.rpartition(' ')[2]}")
                remove_container(container)
                removed += 1
    return removed


def create_container(client: DockerClient, spec: ContainerSpec) -> Container:
    """A container that has not started; the caller removes it. Raises EngineError if the Engine refuses."""
    try:
        return client.containers.create(
            spec.image, list(spec.command) if spec.command else None, **docker_options(spec)
        )
    except ImageNotFound as missing:
        raise EngineError(f"The Engine has no image {spec.image}.", next_action="build it first") from missing
    except DockerException as refused:
        raise _refused(spec, refused) from refused


def start_container(container: Container, spec: ContainerSpec) -> None:
    """Raises EngineError if the Engine refuses."""
    try:
        container.start()
    except APIError as refused:
        raise _refused(spec, refused) from refused


def _refused(spec: ContainerSpec, error: DockerException) -> EngineError:
    reason = getattr(error, "explanation", None) or error
    needs_gpu = "run it on a machine whose Engine has a GPU (NVIDIA Container Toolkit)"
    return EngineError(
        f"The Engine does not run {spec.image}: {reason}",
        next_action=needs_gpu if spec.gpus else "see `docker info`, and whether the image was built here",
    )


def remove_container(container: Container) -> None:
    """End and remove a container with its volumes."""
    with suppress(NotFound):
        container.remove(force=True, v=True)


def _read(container: Container, image: str, path: str) -> bytes:
    """The Engine sends a tar with the file."""
    try:
        chunks, _ = container.get_archive(path)
    except NotFound as missing:
        raise EngineError(
            f"The image {image} has no {path}.", next_action="see its layers by `docker history`"
        ) from missing
    with tempfile.TemporaryFile() as received:
        for chunk in chunks:
            received.write(chunk)
        received.seek(0)
        with tarfile.open(fileobj=received) as archive:
            source = archive.extractfile(archive.next() or tarfile.TarInfo())
            if source is None:
                raise EngineError(f"{path} is not a regular file.", next_action="give the path of a file")
            with source:
                return source.read()
