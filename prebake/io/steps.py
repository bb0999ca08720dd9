"""The steps of a run: each is logged and timed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prebake.io.log import Log


@dataclass
class Steps:
    """Logs and times steps. ``seconds`` are by name, in the order in which steps ran; ``begun`` counts from the epoch."""

    log: Log
    seconds: dict[str, float] = field(default_factory=dict)
    begun: float = field(default_factory=time.time)

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        self.log(f"{name}: {what}")
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - begin, 3)
