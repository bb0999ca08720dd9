"""The steps of a run: each narrated and timed, one build of an image at a time."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prebake.errors import Busy

Tell = Callable[[str], None]


@dataclass
class Steps:
    """Narrates and times steps; ``seconds`` by name, in the order they ran. ``begun`` is in seconds since the epoch."""

    tell: Tell
    seconds: dict[str, float] = field(default_factory=dict)
    begun: float = field(default_factory=time.time)

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        self.tell(f"{name}: {what}")
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - begin, 3)


@contextmanager
def only_one(folder: Path, name: str) -> Iterator[None]:
    """Hold an image's build folder; the lock goes with the process, however it ends. Raises Busy where it is held."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(
                f"Another build of {name} is running here.",
                next_action="wait for it to end, or build in another clone: both share the store and the Engine's cache",
            ) from error
        yield
