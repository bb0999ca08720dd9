"""What ``buildx build --progress rawjson`` says, turned into steps, quiet narration and the reason of a failure.

Each line is a SolveStatus of BuildKit's client (client/graph.go): vertexes with their times, and their output in
base64.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prebake.process import Narrator

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # ECMA-48 control sequences: narration and logs are plain text
_NOISE = re.compile(r"\[internal\]|\[context |resolving provenance")  # BuildKit's own steps, none of the Dockerfile's
_NAME = re.compile(r"^\[(?P<stage>\S+?)? ?(?P<number>\d+)/\d+\] (?P<instruction>.+)$", re.DOTALL)
_EXIT_CODE = re.compile(r"exit code: (\d+)")  # moby/buildkit, util/grpcerrors and solver/errdefs/exec.go


@dataclass(frozen=True)
class Step:
    """One Dockerfile instruction as it was carried out. ``stage`` is empty where the Dockerfile has but one,
    unnamed."""

    stage: str
    instruction: str
    seconds: float
    cached: bool


@dataclass(frozen=True)
class Failure:
    """An instruction that failed, all that it printed, and the exit code of what it ran."""

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


class Progress:
    """Feed it lines; ask it afterwards."""

    def __init__(self, say: Narrator) -> None:
        self._say = say
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
            self._say(f"  warning: {base64.b64decode(warning.get('short') or b'').decode(errors='replace')}")

    @property
    def steps(self) -> tuple[Step, ...]:
        """The Dockerfile's instructions that took part, in the order in which they began."""
        begun = sorted(
            (vertex for vertex in self._vertexes.values() if vertex.started), key=lambda vertex: str(vertex.started)
        )
        named = ((vertex, _NAME.match(vertex.name)) for vertex in begun)
        return tuple(
            Step(match["stage"] or "", match["instruction"], round(vertex.seconds, 3), vertex.cached)
            for vertex, match in named
            if match and not match["instruction"].startswith("FROM ") and (vertex.completed or vertex.cached)
        )

    @property
    def failure(self) -> Failure | None:
        """What made the build fail, where that was an instruction."""
        for vertex in self._vertexes.values():
            if vertex.error and "context canceled" not in vertex.error:
                found = _EXIT_CODE.search(vertex.error)
                return Failure(vertex.name, tuple(vertex.output or [vertex.error]), int(found[1]) if found else None)
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
            self._tell(vertex)

    def _tell(self, vertex: _Vertex) -> None:
        if _NOISE.match(vertex.name) and not vertex.error:
            return
        how = "failed" if vertex.error else "cached" if vertex.cached else f"{vertex.seconds:.1f} s"
        self._say(f"  {_short(vertex.name)}  {how}")

    def _output(self, output: Mapping[str, Any]) -> None:
        text = base64.b64decode(output.get("data") or b"").decode(errors="replace")
        text = _COLOURS.sub("", text)
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.removesuffix("\n").split("\n")]
        self._vertexes.setdefault(output["vertex"], _Vertex("")).output.extend(lines)
        self.log.extend(lines)


def _short(name: str, width: int = 110) -> str:
    line = " ".join(name.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _time(text: str) -> datetime:
    """RFC 3339 with up to nanoseconds, of which Python takes six digits."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00")))
