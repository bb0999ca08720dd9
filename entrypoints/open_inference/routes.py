"""The protocol's routes: method and path to an operation. The server process finds them without numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

Operation = Literal[
    "server metadata",
    "live",
    "ready",
    "model ready",
    "model metadata",
    "model config",
    "model statistics",
    "statistics",
    "infer",
    "generate",
    "repository index",
    "load",
    "unload",
    "clear",
    "shared memory status",
    "shared memory region status",
    "register shared memory",
    "unregister shared memory",
]
OPERATIONS: Sequence[Operation] = get_args(Operation)

_MODEL_ACTIONS: tuple[tuple[str, str, Operation], ...] = (
    ("GET", "", "model metadata"),
    ("GET", "/ready", "model ready"),
    ("GET", "/config", "model config"),
    ("GET", "/stats", "model statistics"),
    ("POST", "/infer", "infer"),
    ("POST", "/generate", "generate"),
)
_MEMORY_ACTIONS: tuple[tuple[str, str, Operation], ...] = (
    ("GET", "/status", "shared memory status"),
    ("GET", "/region/{region}/status", "shared memory region status"),
    ("POST", "/region/{region}/register", "register shared memory"),
    ("POST", "/region/{region}/unregister", "unregister shared memory"),
    ("POST", "/unregister", "unregister shared memory"),
)
_MODEL_PATHS = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
_MEMORY_PATHS = ("/v2/systemsharedmemory", "/v2/cudasharedmemory")

TABLE: tuple[tuple[str, str, Operation], ...] = (
    ("GET", "/v2", "server metadata"),
    ("GET", "/v2/health/live", "live"),
    ("GET", "/v2/health/ready", "ready"),
    ("GET", "/v2/models/stats", "statistics"),  # before the next row: a model of this name has no metadata
    *((method, path + action, name) for path in _MODEL_PATHS for method, action, name in _MODEL_ACTIONS),
    ("POST", "/v2/repository/index", "repository index"),
    ("POST", "/v2/repository/models/{model}/load", "load"),
    ("POST", "/v2/repository/models/{model}/unload", "unload"),
    ("POST", "/v2/repository/models/{model}/clear", "clear"),  # Prebake's own
    *((method, path + action, name) for path in _MEMORY_PATHS for method, action, name in _MEMORY_ACTIONS),
)
"""Method, path and operation; a part in braces stands for one part of a path."""


class Route(NamedTuple):
    """The operation that a request asks for. ``model``, ``version`` and ``region`` are empty if the path has none.
    ``pattern``: the path with ``{model}`` in place of the name."""

    operation: Operation
    model: str = ""
    version: str = ""
    region: str = ""
    pattern: str = ""


class NoRoute(Exception):
    """The path is not the protocol's. The text is an answer to the client (404)."""


class WrongMethod(Exception):
    """The path accepts another method. The text is an answer to the client (405)."""

    def __init__(self, method: str, path: str, allowed: str, pattern: str) -> None:
        super().__init__(f"{path} accepts {allowed}, not {method}.")
        self.allowed = allowed
        """The value of the header Allow."""
        self.pattern = pattern
        """The path with ``{model}`` in place of the name, as ``Route.pattern``."""


def find_route(method: str, path: str) -> Route:
    """``path`` is decoded; HEAD is answered as GET is. Raises NoRoute or WrongMethod."""
    parts = path.split("/")
    for accepted, pattern, operation in _SPLIT:
        found = match_path(pattern, parts)
        if found is not None:
            if method == accepted or (method, accepted) == ("HEAD", "GET"):
                return Route(operation, **found, pattern="/".join(pattern))
            allowed = "GET, HEAD" if accepted == "GET" else accepted
            raise WrongMethod(method[:20], path[:200], allowed, "/".join(pattern))
    raise NoRoute(f"There is no endpoint {path[:200]}; GET / lists the endpoints.")


def match_path(pattern: Sequence[str], parts: Sequence[str]) -> dict[str, str] | None:
    """The parts in braces by name, None if the path does not have this pattern."""
    if len(pattern) != len(parts):
        return None
    found: dict[str, str] = {}
    for expected, part in zip(pattern, parts, strict=True):
        if expected[:1] == "{" and part:
            found[expected[1:-1]] = part
        elif expected != part:
            return None
    return found


_SPLIT = [(method, path.split("/"), operation) for method, path, operation in TABLE]
