"""One start of one image, timed from the request to start the container."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from prebake.errors import AnswerDiffers
from prebake.measure import client
from prebake.measure.answers import distance
from prebake.measure.ports import Launcher, Running
from prebake.measure.warmup import Warmup

DEADLINE = 300.0


@dataclass(frozen=True)
class Start:
    """Seconds since the container's start was asked for; ``steady`` is one later request's own duration.

    ``ready`` is None for an image that has no readiness of its own (the naive one). ``startup`` is the server's account.
    """

    live: float
    ready: float | None
    ttfi: float
    steady: float
    difference: float
    startup: Mapping[str, Any] = field(default_factory=dict)


def time_first_answers(
    launcher: Launcher, image: str, warmups: Mapping[str, Warmup], *, steady_runs: int = 3
) -> Mapping[str, Start]:
    """Start a fresh container of several models and ask all of them at once: as ``time_first_answer``, by model. What the
    server says of its start is the same in each."""
    with launcher.start(image) as container, ThreadPoolExecutor(len(warmups)) as clients:
        live = client.wait_until(container, client.is_live, DEADLINE, "live")

        def ask(warmup: Warmup) -> tuple[client.Reply, float]:
            return _answer(container, warmup), time.perf_counter() - container.requested

        answers = dict(zip(warmups, clients.map(ask, warmups.values()), strict=True))
        differences = {name: check_answer(answers[name][0], each, image, name) for name, each in warmups.items()}
        steady = {
            name: median(steady_answer(container, each) for _ in range(steady_runs)) if steady_runs else 0.0
            for name, each in warmups.items()
        }
        account = _account(container.port)
    return {
        name: Start(live, None, seconds, steady[name], differences[name], account)
        for name, (_, seconds) in answers.items()
    }


def time_first_answer(launcher: Launcher, image: str, warmup: Warmup, *, steady_runs: int = 3) -> Start:
    """Start a fresh container and ask at once: the first answer's time is TTFI, and the answer must equal the reference.

    The request is sent as soon as the server is live, and held there until the model is ready.
    """
    with launcher.start(image) as container:
        start = first_answer(container, warmup, image)
        steady = median(steady_answer(container, warmup) for _ in range(steady_runs)) if steady_runs else 0.0
        return replace(start, steady=steady)


def first_answer(container: Running, warmup: Warmup, image: str) -> Start:
    """The first answer of a container that was asked for just now; it must equal the reference."""
    live = client.wait_until(container, client.is_live, DEADLINE, "live")
    answer = _answer(container, warmup)
    ttfi = time.perf_counter() - container.requested
    return Start(live, None, ttfi, 0.0, check_answer(answer, warmup, image), _account(container.port))


def steady_answer(container: Running, warmup: Warmup) -> float:
    """Seconds of one later request. Raises StartFailed where it is no answer."""
    begin = time.perf_counter()
    reply = client.post(container.port, warmup.request)
    seconds = time.perf_counter() - begin
    if reply.status != 200:
        raise client.failed(container, f"answered a later request with {reply.status}")
    return seconds


def time_ready(launcher: Launcher, image: str) -> tuple[float, Mapping[str, Any]]:
    """Start a fresh container and only watch it: seconds until it says that it is ready, and its own account."""
    with launcher.start(image) as container:
        ready = client.wait_until(container, client.is_ready, DEADLINE, "ready")
        return ready, client.startup(container.port)


def check_answer(answer: client.Reply, warmup: Warmup, image: str, model: str = "") -> float:
    """Raises AnswerDiffers where an answer is not the reference within its tolerance; else their difference. ``model`` is
    named where the image has several."""
    image = f"{model} in {image}" if model else image
    if answer.status != 200:
        raise AnswerDiffers(
            f"{image} answers its own warm-up request with status {answer.status}: {answer.body[:300]!r}",
            next_action="run the image and send it that request; its log says more",
        )
    apart = distance(answer.body, warmup.answer, warmup.media_type)
    if apart > warmup.tolerance:
        raise AnswerDiffers(
            f"{image} answers otherwise than the reference: {apart:.3g} apart, {warmup.tolerance:.3g} allowed.",
            next_action="compare model.py with export.py's reference; a changed package or graph shows here first",
        )
    return apart


def _answer(container: Running, warmup: Warmup) -> client.Reply:
    try:
        return client.post(container.port, warmup.request)
    except OSError as error:
        raise client.failed(container, f"hung up on its first request ({error})") from error


def _account(port: int) -> Mapping[str, Any]:
    reply = client.get(port, "/startup")
    return client.startup(port) if reply.status == 200 else {}
