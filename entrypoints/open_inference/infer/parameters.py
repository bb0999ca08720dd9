"""The parameters of an inference request, and all that is wrong with the request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from entrypoints.contract import BadRequest

MAX_LISTED = 10
"""Problems that one answer lists. A body can have thousands."""
MAX_NAME = 60
"""Characters of a client's name in a message."""


class Problems:
    """What is wrong with one request: all of it is counted, the first problems are told."""

    def __init__(self) -> None:
        self._count = 0
        self._listed: list[str] = []

    @property
    def full(self) -> bool:
        return self._count >= MAX_LISTED

    def add(self, text: str) -> None:
        if not self.full:
            self._listed.append(text)
        self._count += 1

    def refuse(self, model: str) -> None:
        """Raises BadRequest (400) if there is a problem."""
        if self._count:
            more = f"; and {self._count - MAX_LISTED} more" if self._count > MAX_LISTED else ""
            raise refuse(model, f"{'; '.join(self._listed)}{more}")


def refuse(model: str, problem: str) -> BadRequest:
    return BadRequest(f"The request does not fit {model}: {problem}.", status=400)


class Parameters(NamedTuple):
    """``timeout`` in seconds; None if the client gave none."""

    binary_data_output: bool = False
    timeout: float | None = None


def read_parameters(document: Mapping[str, Any], problems: Problems) -> Parameters:
    """Also checks the request's id. Unknown parameters are ignored."""
    if not isinstance(document.get("id"), str | None):
        problems.add("id should be text")
    given = document.get("parameters")
    if given is None:
        return Parameters()
    if not isinstance(given, dict):
        problems.add("parameters should be an object")
        return Parameters()
    if any(given.get(name) for name in ("sequence_id", "sequence_start", "sequence_end")):
        problems.add("sequences are not supported: each request is answered by itself")
    if not is_count(given.get("priority", 0)):
        problems.add("priority should be a whole number from 0 on")
    binary = given.get("binary_data_output", False)
    if not isinstance(binary, bool):
        problems.add("binary_data_output should be true or false")
    timeout = given.get("timeout", 0)
    if not is_count(timeout):
        problems.add("timeout should be a whole number of microseconds")
        timeout = 0
    # A float could not hold what lies beyond, and no server waits so long.
    return Parameters(binary is True, min(timeout, 2**63) / 1e6 if timeout else None)


def is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def cut(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
