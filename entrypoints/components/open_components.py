"""The components that the model gets if all of them fit into memory: sessions, which may still be opening."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from entrypoints.contract import Session
from entrypoints.manifest.values import Manifest
from entrypoints.suggestion import suggest


class OpenComponents:
    """The `Components` of the model: sessions, and files by their manifest path."""

    def __init__(self, models: Path, manifest: Manifest, verify: Callable[[str], None]) -> None:
        """``verify`` is called with a file before its path is returned."""
        self._models = models
        self._manifest = manifest
        self._verify = verify
        self.sessions: dict[str, Future[Session]] = {name: Future() for name in manifest.components}

    def session(self, name: str) -> Session:
        """Waits until it is open. Raises KeyError for an unknown name, SessionFault if it cannot be opened."""
        if name not in self.sessions:
            raise KeyError(f"the manifest has no component {name!r}{suggest(name, list(self.sessions))}")
        return self.sessions[name].result()

    @contextmanager
    def hold(self, name: str) -> Iterator[Session]:
        """The open session; waits until it is open. Raises as ``session``."""
        yield self.session(name)

    def wait_until_open(self) -> None:
        """Also for those that no request used. Raises what made one fail to open."""
        for session in self.sessions.values():
            session.result()

    def find_error(self) -> BaseException | None:
        """What made the first component fail to open; None if none has failed by now."""
        failed = (future.exception() for future in self.sessions.values() if future.done())
        return next((error for error in failed if error is not None), None)

    def path(self, name: str) -> Path:
        place = self._manifest.place(name)
        if place not in self._manifest.files:
            raise KeyError(f"the manifest has no file {name!r}{suggest(name, list(self._manifest.files))}")
        self._verify(place)
        return self._models / place
