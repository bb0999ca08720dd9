"""How often, and after how long, what failed is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from prebake.errors import PrebakeError
from prebake.process import Narrator

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """Bounds in seconds. ``attempts`` counts those in a row without progress; ``pause`` does the waiting.

    ``read`` bounds a stall: how long no byte moves. ``finish`` is what a server gets to check and store what it has
    whole, during which nothing moves.
    """

    attempts: int = 8
    first: float = 0.5
    longest: float = 30.0
    retry_after: float = 300.0
    connect: float = 10.0
    read: float = 60.0
    finish: float = 900.0
    pause: Callable[[float], None] = time.sleep

    def delay(self, failures: int) -> float:
        """Exponential, with jitter so that many builders do not come back at the same moment."""
        wait = min(self.longest, self.first * 2.0 ** (failures - 1))
        return wait * random.uniform(0.5, 1.0)  # noqa: S311  (nothing secret)


class Passing(Exception):
    """An attempt failed in a way that may not last. ``after`` is how long the server asked to wait, in seconds;
    ``becomes`` makes, of where and why, the error that it is where it does last."""

    def __init__(self, reason: str, *, becomes: Callable[[str, str], PrebakeError], after: float | None = None) -> None:
        super().__init__(reason)
        self.becomes = becomes
        self.after = after


@dataclass
class Tries:
    """The attempts at one thing. ``where`` is what errors name; ``failures`` are those in a row that brought nothing."""

    patience: Patience
    where: str
    say: Narrator
    failures: int = field(default=0, init=False)

    def wait_after(self, again: Passing, *, progress: bool) -> None:
        """Wait until the next attempt. Raises what ``again`` becomes, where there is none."""
        self.failures = 1 if progress else self.failures + 1
        if self.failures >= self.patience.attempts:
            raise again.becomes(self.where, f"{again}, {self.failures} times in a row") from again
        if again.after is not None and again.after > self.patience.retry_after:
            raise again.becomes(self.where, f"{again}, and asks to wait {again.after:.0f} s") from again
        wait = self.patience.delay(self.failures) if again.after is None else again.after
        self.say(f"{again}; trying again in {wait:.1f} s")
        self.patience.pause(wait)


def persist(attempt: Callable[[], Result], tries: Tries, *, done: Callable[[], int] = lambda: 0) -> Result:
    """Call ``attempt`` until it raises no Passing; ``done`` tells the bytes that are there, as a sign of progress.

    Raises what the last Passing becomes, when the attempts are used up or a server asks for too long a wait.
    """
    while True:
        before = done()
        try:
            return attempt()
        except Passing as again:
            tries.wait_after(again, progress=done() > before)
