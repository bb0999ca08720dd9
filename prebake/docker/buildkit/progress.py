"""The events of ``buildx build --progress rawjson`` as steps, log lines and the cause of a failure.

Each line is a SolveStatus of BuildKit's client (client/graph.go): vertexes with their times, and their output in base64. Displays
of downloads (``prebake.checkpoints.progress``) share nothing with this: they sum up bytes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prebake.io.log import Log

_CONTROL_SEQUENCES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # ECMA-48: logs are plain text
_INTERNAL = re.compile(r"\[internal\]|\[context |resolving provenance")  # BuildKit's own steps
_NAME = re.compile(r"^\[(?P<stage>\S+?)? ?(?P<number>\d+)/\d+\] (?P<instruction>.+)$", re.DOTALL)
_EXIT_CODE = re.compile(r"exit code: (\d+)")  # moby/buildkit, util/grpcerrors and solver/errdefs/exec.go


@dataclass(frozen=True)
class Step:
    """A Dockerfile instruction that ran or was cached. ``stage`` is empty if the Dockerfile has one stage without a name."""

    stage: str
    instruction: str
    seconds: float
    cached: bool


@dataclass(frozen=True)
class InstructionFailure:
    """An instruction that failed, its whole output, and the exit code of its program."""

    instruction: str
    output: tuple[str, ...]
    exit_code: int | None


@dataclass
class _Vertex:
    name: str
    started: datetime | None = None
    seconds: float = 0.0
    cached: bool = False
    completed: bool = False
    error: str = ""
    output: list[str] = field(default_factory=list)


class BuildProgress:
    """``feed`` takes buildx' output; ``steps`` and ``failure`` are read after the build."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._vertexes: dict[str, _Vertex] = {}
        self.log: list[str] = []

    def feed(self, line: str) -> None:
        """One line of buildx's stderr, JSON or not."""
        try:
            status = json.loads(line)
        except ValueError:
            status = None
        if not isinstance(status, dict):
            self.log.append(line)
            return
        for change in status.get("vertexes") or []:
            self._change(change)
        for output in status.get("logs") or []:
            self._output(output)
        for warning in status.get("warnings") or []:
            self._log(f"  warning: {base64.b64decode(warning.get('short') or b'').decode(errors='replace')}")

    @property
    def steps(self) -> tuple[Step, ...]:
        """The Dockerfile's instructions that ran or were cached, in the order in which they began."""
        started = sorted(
            (vertex for vertex in self._vertexes.values() if vertex.started), key=lambda vertex: str(vertex.started)
        )
        matches = ((vertex, _NAME.match(vertex.name)) for vertex in started)
        return tuple(
            Step(match["stage"] or "", match["instruction"], round(vertex.seconds, 3), vertex.cached)
            for vertex, match in matches
            if match and not match["instruction"].startswith("FROM ") and (vertex.completed or vertex.cached)
        )

    @property
    def failure(self) -> InstructionFailure | None:
        """The instruction that failed; None if none did."""
        for vertex in self._vertexes.values():
            if vertex.error and "context canceled" not in vertex.error:
                code = _EXIT_CODE.search(vertex.error)
                exit_code = int(code[1]) if code else None
                return InstructionFailure(vertex.name, tuple(vertex.output or [vertex.error]), exit_code)
        return None

    def _change(self, change: Mapping[str, Any]) -> None:
        vertex = self._vertexes.setdefault(change["digest"], _Vertex(change.get("name", "")))
        vertex.error = change.get("error") or vertex.error
        vertex.cached = vertex.cached or bool(change.get("cached"))
        started, completed = change.get("started"), change.get("completed")
        if started and vertex.started is None:
            vertex.started = _time(started)
        if completed and not vertex.completed and vertex.started:
            vertex.completed = True
            vertex.seconds += (_time(completed) - vertex.started).total_seconds()
            self._log_vertex(vertex)

    def _log_vertex(self, vertex: _Vertex) -> None:
        if _INTERNAL.match(vertex.name) and not vertex.error:
            return
        outcome = "failed" if vertex.error else "cached" if vertex.cached else f"{vertex.seconds:.1f} s"
        self._log(f"  {_short(vertex.name)}  {outcome}")

    def _output(self, output: Mapping[str, Any]) -> None:
        text = base64.b64decode(output.get("data") or b"").decode(errors="replace")
        text = _CONTROL_SEQUENCES.sub("", text)
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.removesuffix("\n").split("\n")]
        self._vertexes.setdefault(output["vertex"], _Vertex("")).output.extend(lines)
        self.log.extend(lines)


def _short(name: str, width: int = 110) -> str:
    line = " ".join(name.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _time(text: str) -> datetime:
    """RFC 3339 with up to nine digits of a second, of which Python reads six."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00")))
