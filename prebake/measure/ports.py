"""The port to a container engine: start an image and reach it, or run a program in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol


class RunningContainer(Protocol):
    """A started container. ``requested`` is the time of the request to start it, on the clock ``time.perf_counter``."""

    @property
    def requested(self) -> float: ...

    @property
    def pulled(self) -> float:
        """Seconds since ``requested`` in which the Engine pulled the image first; 0 if it had the image."""

    @property
    def port(self) -> int:
        """The port on loopback that reaches the server."""

    def logs(self) -> str: ...

    def exit_code(self) -> int | None:
        """None while it runs."""


class ImageFiles(Protocol):
    """Files of images."""

    def open_files(self, image: str) -> AbstractContextManager[Callable[[str], bytes]]:
        """While the block lasts: a function that returns the content of the file at a path."""


class Launcher(ImageFiles, Protocol):
    """Starts containers as in a deployment: read-only, without capabilities, as a numeric user."""

    def start(self, image: str) -> AbstractContextManager[RunningContainer]: ...

    def run(self, image: str, command: Sequence[str]) -> str:
        """Run a program of the image to its end. Returns its standard output."""

    def time_program(self, image: str, command: Sequence[str]) -> float:
        """Seconds from the request for a container, set up like a server's, until its program has ended."""
