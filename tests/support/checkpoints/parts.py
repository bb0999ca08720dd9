"""Small parts that the checkpoint tests share: bytes, locked files, a progress that remembers."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from prebake.io.retry import RetryPolicy
from prebake.spec.image.strict_model import StrictModel
from prebake.spec.lock import LockedFile

Spec = TypeVar("Spec", bound=StrictModel)

HASTY = RetryPolicy(attempts=3, initial_delay=0.01, max_delay=0.02, connect=20.0, read=20.0, max_retry_after=2.0)
"""Hardly any delay between attempts. A busy server has its time to answer."""
IMPATIENT = replace(HASTY, read=1.0)
"""For servers that stall on purpose."""


def some_bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def locked(path: str, source: str, data: bytes, *, revision: str = "", locator: str = "") -> LockedFile:
    return LockedFile(path, source, revision, locator, len(data), sha256(data), "Apache-2.0", True)


def named(spec: type[Spec], kind: str, **fields: object) -> Spec:
    """A source of image.yaml; its first key, ``from``, is a word of Python's."""
    return spec.model_validate({"from": kind, **fields})


class Diary:
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.reports: list[tuple[str, int, int | None]] = []
        self.notes: list[tuple[str, str]] = []
        self.closed = False
        self._lock = threading.Lock()

    def expect(self, totals: Mapping[str, int]) -> None:
        self.totals.update(totals)

    def report(self, name: str, done: int, total: int | None) -> None:
        with self._lock:
            self.reports.append((name, done, total))

    def note(self, name: str, text: str) -> None:
        with self._lock:
            self.notes.append((name, text))

    def close(self) -> None:
        self.closed = True
