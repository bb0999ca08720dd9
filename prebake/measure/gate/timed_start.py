"""One start of one side of a gate: the first answer, readiness, and the phases in between."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prebake.documents.manifest.json_checks import listing, mapping, nullable
from prebake.measure.ports import Launcher
from prebake.measure.report.report_checks import SECONDS, TEXT, fields
from prebake.measure.report.waterfall import CONTAINER_START, LIVE, find_lane
from prebake.measure.report.waterfall import MODEL as MODEL_LANE
from prebake.measure.report.waterfall import SERVER as SERVER_LANE
from prebake.measure.start import collect_phases, time_first_answers
from prebake.measure.warmup_request import WarmupRequest

_PHASES = listing(fields({"name": TEXT, "start": SECONDS}, {"seconds": nullable(SECONDS)}))
_STARTUP = fields(
    {},
    {
        "ready_seconds": nullable(SECONDS),
        "phases": _PHASES,
        "models": nullable(mapping(TEXT, fields({"phases": _PHASES}, {}))),
    },
)

PULL, FIRST_ANSWER = "pull", "first answer"
ENGINE, SERVER = "engine", "server"


@dataclass(frozen=True)
class Phase:
    """``start`` and ``seconds`` count from the request for the container. ``process``: ``engine``, ``server``, ``model``, or the
    name of one of several models."""

    name: str
    process: str
    start: float
    seconds: float

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "process": self.process, "start": self.start, "seconds": self.seconds}


@dataclass(frozen=True)
class TimedStart:
    """Seconds since the request for the container. ``ttfi`` is the first answer, of several models that of the last one.
    ``ready`` is None if the image does not tell when its process started and was ready."""

    ttfi: float
    live: float
    ready: float | None
    phases: Sequence[Phase]

    def document(self) -> dict[str, Any]:
        return {
            "ttfi_seconds": self.ttfi,
            "ready_seconds": self.ready,
            "live_seconds": self.live,
            "phases": [phase.document() for phase in self.phases],
        }


def time_start(launcher: Launcher, image: str, warmups: Mapping[str, WarmupRequest]) -> TimedStart:
    """Start a fresh container, and send each of its models its warm-up request as soon as it is live. Each answer is compared
    with its reference.

    Raises StartFailed or AnswerDiffers.
    """
    clock = time.time() - time.perf_counter()  # the wall clock at zero of the clock of ``requested``
    starts = time_first_answers(launcher, image, warmups, steady_runs=0)
    first = max(starts.values(), key=lambda start: start.ttfi)
    return describe_start(first.ttfi, first.live, first.startup, clock + first.requested, first.pulled)


def describe_start(
    ttfi: float, live: float, startup: Mapping[str, Any], requested: float, pulled: float = 0.0
) -> TimedStart:
    """``startup`` is the document of ``GET /startup``; ``requested`` the wall clock's seconds since 1970 at the request;
    ``pulled`` the seconds in which the image was pulled, which come before the container. A document with other types than a
    server of Prebake writes is one that tells nothing."""
    phases = [Phase(PULL, ENGINE, 0.0, pulled)] if pulled else []
    container = _container_seconds(startup, requested)
    if container is None or not _is_readable(startup):
        return TimedStart(ttfi, live, None, phases)
    models = startup.get("models") or {}
    phases.append(Phase(CONTAINER_START, ENGINE, pulled, max(0.0, container - pulled)))
    for phase in collect_phases(startup):
        if phase.get("seconds") is not None and phase["name"] != LIVE:
            process = _process_of(phase["name"], models)
            phases.append(Phase(phase["name"], process, container + phase["start"], phase["seconds"]))
    ready = startup.get("ready_seconds")
    if ready is None:
        return TimedStart(ttfi, live, None, phases)
    ready += container
    phases.append(Phase(FIRST_ANSWER, "model", ready, max(0.0, ttfi - ready)))
    return TimedStart(ttfi, live, ready, phases)


def _is_readable(startup: Mapping[str, Any]) -> bool:
    problems: list[str] = []
    _STARTUP(startup, "", problems)
    return not problems


def _process_of(name: str, models: Collection[str]) -> str:
    """``server``, ``model``, or the name of one of several models."""
    lane, _ = find_lane(name, models)
    if lane == SERVER_LANE:
        return SERVER
    return "model" if lane == MODEL_LANE else lane.removeprefix(f"{MODEL_LANE} ")


def _container_seconds(startup: Mapping[str, Any], requested: float) -> float | None:
    """Seconds from the request until the container's process started; None if the image does not tell it."""
    with suppress(KeyError, TypeError, ValueError):
        return max(0.0, datetime.fromisoformat(startup["process_started"]).timestamp() - requested)
    return None
