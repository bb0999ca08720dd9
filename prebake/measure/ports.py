"""What measuring needs of an engine: start an image and reach it, or run a program in it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol


class Running(Protocol):
    """A started container. ``requested`` is when its start was asked for, on the ``time.perf_counter`` clock."""

    @property
    def requested(self) -> float: ...

    @property
    def port(self) -> int:
        """The port on loopback that reaches the server."""

    def logs(self) -> str: ...

    def exit_code(self) -> int | None:
        """None while it runs."""


class Files(Protocol):
    """What lies in images."""

    def read(self, image: str, path: str) -> bytes:
        """A file of the image."""


class Launcher(Files, Protocol):
    """Starts containers as they would be deployed: read-only, no capabilities, a numeric user."""

    def start(self, image: str) -> AbstractContextManager[Running]: ...

    def run(self, image: str, command: Sequence[str]) -> str:
        """Run a program of the image to its end; its standard output."""

    def time_program(self, image: str, command: Sequence[str]) -> float:
        """Seconds from asking for a container, set up like a server's, until its program has ended."""
