"""Attempts that are repeated after transient errors, with waits between them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from prebake.errors import PrebakeError
from prebake.io.log import Log

Result = TypeVar("Result")


@dataclass(frozen=True)
class RetryPolicy:
    """How often an attempt is repeated, and how long each part of it may take. All times are in seconds.

    ``attempts`` counts those in a row without progress. ``max_retry_after`` bounds the wait that a server may ask for by its
    Retry-After header. ``connect``, ``read`` and ``finish`` are timeouts: of a connection, of the time in which no byte arrives,
    and of the time that a server takes to check and store a complete upload. ``pause`` waits.
    """

    attempts: int = 8
    initial_delay: float = 0.5
    max_delay: float = 30.0
    max_retry_after: float = 300.0
    connect: float = 10.0
    read: float = 60.0
    finish: float = 900.0
    pause: Callable[[float], None] = time.sleep

    def delay(self, failures: int) -> float:
        """Exponential, with jitter, so that several builders do not come back at the same moment."""
        wait = min(self.max_delay, self.initial_delay * 2.0 ** (failures - 1))
        return wait * random.uniform(0.5, 1.0)  # noqa: S311  (not a secret)


class TransientError(Exception):
    """An attempt failed in a way that may not last. ``after`` is the wait in seconds that the server asked for;
    ``to_error`` makes the final error from the place and the reason, if all attempts fail."""

    def __init__(
        self, reason: str, *, to_error: Callable[[str, str], PrebakeError], after: float | None = None
    ) -> None:
        super().__init__(reason)
        self.to_error = to_error
        self.after = after


@dataclass
class RetryState:
    """The attempts at one task. ``where`` is the place that errors name; ``failures`` counts those in a row without progress."""

    retry_policy: RetryPolicy
    where: str
    log: Log
    failures: int = field(default=0, init=False)

    def wait_after(self, error: TransientError, *, progress: bool) -> None:
        """Wait until the next attempt. If there is none, raises the error that ``error`` stands for."""
        self.failures = 1 if progress else self.failures + 1
        if self.failures >= self.retry_policy.attempts:
            raise error.to_error(self.where, f"{error}, {self.failures} times in a row") from error
        if error.after is not None and error.after > self.retry_policy.max_retry_after:
            raise error.to_error(self.where, f"{error}; the server asks to wait {error.after:.0f} s") from error
        wait = self.retry_policy.delay(self.failures) if error.after is None else error.after
        self.log(f"{error}; trying again in {wait:.1f} s")
        self.retry_policy.pause(wait)


def retry(attempt: Callable[[], Result], state: RetryState, *, done: Callable[[], int] = lambda: 0) -> Result:
    """Call ``attempt`` until it raises no TransientError. ``done`` returns the bytes that have arrived; more of them are
    progress.

    Raises the error that the last TransientError stands for, if no attempt is left or a server asks for too long a wait.
    """
    while True:
        before = done()
        try:
            return attempt()
        except TransientError as error:
            state.wait_after(error, progress=done() > before)
