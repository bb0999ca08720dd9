"""How often, and after how long, something that failed is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from prebake.errors import NoNetwork, PrebakeError, SourceError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """Bounds in seconds. ``attempts`` counts those in a row that brought no byte; ``pause`` does the waiting."""

    attempts: int = 6
    first: float = 0.5
    longest: float = 30.0
    retry_after: float = 120.0
    connect: float = 10.0
    read: float = 30.0
    pause: Callable[[float], None] = time.sleep

    def delay(self, failures: int) -> float:
        """Exponential, with jitter so that many builders do not come back at the same moment."""
        wait = min(self.longest, self.first * 2.0 ** (failures - 1))
        return wait * random.uniform(0.5, 1.0)  # noqa: S311  (nothing secret)


class PassingError(Exception):
    """An attempt failed in a way that may not last. ``after`` is how long the server asked to wait, in seconds."""

    def __init__(self, reason: str, *, network: bool, after: float | None = None) -> None:
        super().__init__(reason)
        self.network = network
        self.after = after


def persist(
    attempt: Callable[[], Result],
    patience: Patience,
    *,
    where: str,
    done: Callable[[], int],
    note: Callable[[str], None],
) -> Result:
    """Call ``attempt`` until it raises no PassingError; ``done`` tells the bytes that are there, as a sign of progress.

    Raises NoNetwork or SourceError when the attempts are used up or the server asks for too long a wait.
    """
    failures = 0
    while True:
        before = done()
        try:
            return attempt()
        except PassingError as again:
            failures = 1 if done() > before else failures + 1
            if failures >= patience.attempts:
                raise _given_up(again, where, f"{again}, {failures} times in a row") from again
            if again.after is not None and again.after > patience.retry_after:
                raise _given_up(again, where, f"{again}, and asks to wait {again.after:.0f} s") from again
            wait = patience.delay(failures) if again.after is None else again.after
            note(f"{again}; trying again in {wait:.1f} s")
            patience.pause(wait)


def _given_up(again: PassingError, where: str, reason: str) -> PrebakeError:
    kept = "what was downloaded is kept, and the same command goes on from there"
    if again.network:
        return NoNetwork(
            f"{where} cannot be reached: {reason}.",
            next_action=f"check the network (HTTPS_PROXY, and SSL_CERT_FILE behind a company's proxy); {kept}",
        )
    return SourceError(f"{where}: {reason}.", next_action=f"try again later; {kept}")
