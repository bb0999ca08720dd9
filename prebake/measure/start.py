"""One start of one image, timed from the request to start the container."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from prebake.errors import AnswerDiffers
from prebake.measure import client
from prebake.measure.answers import measure_distance
from prebake.measure.ports import Launcher, RunningContainer
from prebake.measure.warmup_request import WarmupRequest

START_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class Start:
    """Seconds since the request to start the container; ``steady`` is the duration of one later request.

    ``api``: the OpenAPI document, if it was asked for and the server has one.

    ``ready`` is None for an image without a readiness endpoint (the naive one). ``startup`` is what the server reports.
    ``difference``: of the first answer from the reference. ``requested`` and ``pulled`` are those of the container.
    """

    live: float
    ready: float | None
    ttfi: float
    steady: float
    difference: float
    startup: Mapping[str, Any] = field(default_factory=dict)
    requested: float = 0.0
    pulled: float = 0.0
    api: Mapping[str, Any] = field(default_factory=dict)


def time_first_answers(
    launcher: Launcher,
    image: str,
    warmups: Mapping[str, WarmupRequest],
    *,
    steady_runs: int = 3,
    wants_api: bool = False,
) -> Mapping[str, Start]:
    """Start a fresh container and send a request to each of its models at once: as ``time_first_answer``, by model.
    All have the same ``startup`` and ``api``."""
    with launcher.start(image) as container, ThreadPoolExecutor(len(warmups)) as clients:
        live = client.wait_until(container, client.is_live, START_TIMEOUT_SECONDS, "live")

        def ask(warmup: WarmupRequest) -> tuple[client.Response, float]:
            return client.ask(container, warmup.request), time.perf_counter() - container.requested

        answers = dict(zip(warmups, clients.map(ask, warmups.values()), strict=True))
        differences = {
            name: check_answer(answers[name][0], warmup, image, name, container) for name, warmup in warmups.items()
        }
        steady = {
            name: median(time_later_request(container, each) for _ in range(steady_runs)) if steady_runs else 0.0
            for name, each in warmups.items()
        }
        startup = _read_document(container.port, "/startup")
        api = _read_document(container.port, "/openapi.json") if wants_api else {}
    return {
        name: Start(
            live, None, seconds, steady[name], differences[name], startup, container.requested, container.pulled, api
        )
        for name, (_, seconds) in answers.items()
    }


def time_first_answer(launcher: Launcher, image: str, warmup: WarmupRequest, *, steady_runs: int = 3) -> Start:
    """Start a fresh container and send a request at once. The time of the first answer is TTFI. The answer must equal
    the reference within its tolerance.

    The request is sent as soon as the server is live, and held there until the model is ready.
    """
    with launcher.start(image) as container:
        start = time_first_request(container, warmup, image)
        steady = median(time_later_request(container, warmup) for _ in range(steady_runs)) if steady_runs else 0.0
        return replace(start, steady=steady)


def time_first_request(container: RunningContainer, warmup: WarmupRequest, image: str) -> Start:
    """Time the first answer of a container that was just started. The answer must equal the reference within its
    tolerance."""
    live = client.wait_until(container, client.is_live, START_TIMEOUT_SECONDS, "live")
    answer = client.ask(container, warmup.request)
    ttfi = time.perf_counter() - container.requested
    return Start(
        live,
        None,
        ttfi,
        0.0,
        check_answer(answer, warmup, image, container=container),
        _read_document(container.port, "/startup"),
    )


def time_later_request(container: RunningContainer, warmup: WarmupRequest) -> float:
    """Seconds of one later request. Raises StartFailed if there is no answer, or its status is not 200."""
    begin = time.perf_counter()
    reply = client.ask(container, warmup.request)
    seconds = time.perf_counter() - begin
    if reply.status != 200:
        raise client.make_start_failed(container, f"answered a later request with {reply.status}")
    return seconds


def time_ready(launcher: Launcher, image: str) -> tuple[float, Mapping[str, Any]]:
    """Start a fresh container and send no request. Returns the seconds until it is ready, and its report of its start."""
    with launcher.start(image) as container:
        ready = client.wait_until(container, client.is_ready, START_TIMEOUT_SECONDS, "ready")
        return ready, client.get_startup(container.port)


def median_start(readies: Sequence[tuple[float, Mapping[str, Any]]]) -> dict[str, Any]:
    """The start with the median time until ready, of the results of ``time_ready``; of an even number, the earlier one of the
    two in the middle. Returns the entries ``start`` and ``phases`` of a report.

    ``container_seconds``: from the request until the container's process started. It includes the time until the poll that saw
    the server ready.
    """
    ready, startup = sorted(readies, key=lambda found: found[0])[(len(readies) - 1) // 2]
    in_process = startup.get("ready_seconds")
    container = 0.0 if in_process is None else max(0.0, ready - in_process)
    return {
        "start": {"ready_seconds": ready, "container_seconds": container},
        "phases": collect_phases(startup),
    }


def collect_phases(startup: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The phases of the server and of its several models, prefixed with the model's name."""
    found = list(startup.get("phases", []))
    for name, model in startup.get("models", {}).items():
        found += [{**phase, "name": f"{name}: {phase['name']}"} for phase in model["phases"]]
    return sorted(found, key=lambda phase: float(phase["start"]))


def check_answer(
    answer: client.Response,
    warmup: WarmupRequest,
    image: str,
    model: str = "",
    container: RunningContainer | None = None,
) -> float:
    """The difference of an answer from its reference. Raises AnswerDiffers if it is larger than the tolerance, or if there is no
    answer: then with the details of the fault that ``container`` logged. ``model`` is named if the image has several."""
    image = f"{model} in {image}" if model else image
    if answer.status != 200:
        raise AnswerDiffers(
            f"{image} answers its own warm-up request with status {answer.status}: {answer.body[:300]!r}",
            next_action="run the image, send it this request, and read its log",
            details=client.read_fault_details(container) if container else (),
        )
    apart = measure_distance(warmup.answer, answer.body, warmup.media_type)
    if apart > warmup.tolerance:
        raise AnswerDiffers(
            f"{image} answers differently from the reference: by {apart:.3g}; {warmup.tolerance:.3g} is allowed.",
            next_action="compare model.py with export.py's reference; a changed package or graph can cause this too",
        )
    return apart


def _read_document(port: int, path: str) -> Mapping[str, Any]:
    """Empty if the image has nothing there that can be read: a baseline may be of any version, or of somebody else."""
    reply = client.get(port, path)
    try:
        document = json.loads(reply.body) if reply.status == 200 else {}
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
