"""``prebake bench --baseline``: build the image, get the baseline, start both in turn, and write the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import prebake
from prebake.docker.connection import Connection, find_engine
from prebake.docker.images.images import ImageFacts, inspect_image
from prebake.errors import ContainerError, EngineError
from prebake.io.file_lock import hold_lock, log_wait
from prebake.io.log import Log
from prebake.measure.counters.comparison import compare_counters
from prebake.measure.counters.counters import Counters, not_counted
from prebake.measure.counters.sentences import describe_comparison
from prebake.measure.gate.errors import LimitExceeded, VerdictUnclear
from prebake.measure.gate.gate import MAX_PAIRS, GateResult, GateSide, run_gate
from prebake.measure.gate.limits import DEFAULT_REGRESSION, Limits, Verdict
from prebake.measure.gate_report.console import format_console, summarize_doubt, summarize_failure
from prebake.measure.gate_report.files import write_gate_files
from prebake.measure.ports import Launcher
from prebake.measure.warmup_request import read_warmups
from prebake.spec.image.gate import GateSpec, parse_duration, parse_share, parse_size
from prebake.spec.project import read_spec
from prebake.workflow.absent.bit_rate import DEFAULT_NETWORK
from prebake.workflow.absent.launcher import absent_launcher
from prebake.workflow.absent.requirements import require_programs
from prebake.workflow.benchmark.baseline import Baseline, get_baseline, read_baseline_warmups, require_comparable
from prebake.workflow.benchmark.baseline_tags import keep_baselines
from prebake.workflow.benchmark.machine import describe_machine
from prebake.workflow.benchmark.naive import find_launcher
from prebake.workflow.benchmark.page_cache import prepare_start
from prebake.workflow.build import build_image
from prebake.workflow.requests import BuildRequest, State
from prebake.workflow.start_check.counted_start import count_start, layer_bytes
from prebake.workflow.start_check.launcher import EngineLauncher

SCHEMA = 1


@dataclass(frozen=True)
class GateRequest:
    """``baseline`` is None if only the image's own limits are checked. ``limits`` are those of the command line, which replace
    those of image.yaml. ``network``: bits per second of the link through which an absent image is pulled."""

    build: BuildRequest
    baseline: str | None
    limits: Limits
    max_pairs: int = MAX_PAIRS
    state: State = "warm"
    network: int | None = None
    allow_other_answers: bool = False


def gate_image(request: GateRequest, log: Log) -> Mapping[str, Any]:
    """Get the baseline, build the image, measure and judge. Returns the document. It is written below ``build/bench/``,
    with the files that are made of it. A gate of the same model in the same folder waits until this one has ended.

    Raises BaselineUnusable, StateUnavailable, StartFailed, AnswerDiffers, and the errors of a build.
    """
    before = prepare_start(request.state)
    if request.state == "absent":  # before anything is built or pulled
        require_programs(log)
    limits = choose_limits(
        request.limits, read_spec(request.build.root, request.build.model).gate, compares=request.baseline is not None
    )
    root, model = request.build.root, request.build.model
    waiting = log_wait(log, f"a gate of {model} runs in this folder")
    with hold_lock(root / "build" / model / ".gate-lock", waiting), ExitStack() as kept:
        connection, baseline = find_engine(), None
        if request.baseline is not None:
            keep = kept.enter_context(keep_baselines(connection, log))
            baseline = get_baseline(connection, request.baseline, request.build, log)
            keep(baseline.image)
        document = _measure(request, connection, baseline, limits, before, log)
        write_gate_files(root / "build" / "bench", model, document)
    return document


def _measure(
    request: GateRequest,
    connection: Connection,
    baseline: Baseline | None,
    limits: Limits,
    before: Callable[[], None],
    log: Log,
) -> Mapping[str, Any]:
    """Build the image, start both, and judge. Returns the document."""
    report = build_image(request.build, log)
    image = inspect_image(connection, str(report["image"]))
    launcher = find_launcher(request.build, image.reference, connection)
    side = GateSide(image.reference, read_warmups(launcher, image.reference), image.size)
    other = None
    if baseline is not None:
        warmups = read_baseline_warmups(launcher, baseline)
        require_comparable(baseline, side.warmups, warmups, other_answers=request.allow_other_answers)
        other = GateSide(baseline.image, warmups)
    images = [each.image for each in (side, other) if each]
    with _launcher_of(request, connection, launcher, images, log) as (used, rate):
        result = run_gate(
            used,
            side,
            other,
            limits,
            log=log,
            max_pairs=request.max_pairs,
            before=before,
            warm=request.state == "warm",
        )
    document = {
        **_document(request, connection, image, baseline, result),
        "network_achieved_bits_per_second": rate,
        "counters": _count(connection, launcher, side, other, log),
    }
    return {**document, "message": format_console(document)}


@contextmanager
def _launcher_of(
    request: GateRequest, connection: Connection, launcher: EngineLauncher, images: Sequence[str], log: Log
) -> Iterator[tuple[Launcher, float | None]]:
    """The launcher of the timed starts and, for an absent image, the bit rate that its link achieved."""
    if request.state != "absent":
        yield launcher, None
        return
    with absent_launcher(connection, images, request.network or DEFAULT_NETWORK, launch=launcher.at, log=log) as absent:
        yield absent, absent.link.achieved


def _count(
    connection: Connection, launcher: EngineLauncher, image: GateSide, baseline: GateSide | None, log: Log
) -> Mapping[str, Any]:
    """The object ``counters`` of the document: one counted start of each, compared. A start that cannot be counted says why."""
    if baseline is None:
        return {"counted": False, "reason": "there is no baseline", "values": [], "changes": [], "sentences": []}
    log("counting one start of each image")
    counts = [_count_start(connection, launcher, side) for side in (image, baseline)]
    found = compare_counters(*counts)
    return {**found.document(), "sentences": describe_comparison(found)}


def _count_start(connection: Connection, launcher: EngineLauncher, side: GateSide) -> Counters:
    try:
        return count_start(connection, launcher, side.image, side.warmups)
    except (ContainerError, EngineError) as error:  # the timed starts succeeded, so what was measured is kept
        return not_counted(error.message.splitlines()[0])


def choose_limits(given: Limits, spec: GateSpec, *, compares: bool) -> Limits:
    """The limits of the command line, else those of image.yaml, else 10 % regression if there is a baseline."""
    regression, ttfi, size = given.max_regression, given.max_ttfi, given.max_image_size
    if regression is None and compares:
        regression = parse_share(spec.max_regression) if spec.max_regression else DEFAULT_REGRESSION
    if ttfi is None and spec.max_ttfi:
        ttfi = parse_duration(spec.max_ttfi)
    if size is None and spec.max_image_size:
        size = parse_size(spec.max_image_size)
    return Limits(regression, ttfi, size)


def require_pass(document: Mapping[str, Any]) -> None:
    """Raises LimitExceeded or VerdictUnclear unless the verdict is ``pass``."""
    if document["verdict"] == Verdict.FAIL.value:
        raise LimitExceeded(
            summarize_failure(document),
            next_action=f"look at build/bench/{document['model']}-gate.html; `prebake trace` shows both starts in Perfetto",
        )
    if document["verdict"] == Verdict.UNCLEAR.value:
        raise VerdictUnclear(
            summarize_doubt(document),
            next_action="run it on a quieter machine, with a larger --max-pairs, or with a wider limit",
        )


def _document(
    request: GateRequest, connection: Connection, image: ImageFacts, baseline: Baseline | None, result: GateResult
) -> dict[str, Any]:
    network = (request.network or DEFAULT_NETWORK) if request.state == "absent" else None
    return {
        "schema": SCHEMA,
        "kind": "gate",
        "prebake": prebake.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "model": request.build.model,
        "target": request.build.options.target,
        "state": request.state,
        "network_bits_per_second": network,
        "machine": describe_machine(connection, result.load),
        "image": _describe_image(image),
        "baseline": baseline and _describe_baseline(baseline, inspect_image(connection, baseline.image)),
        **result.document(),
    }


def _describe_image(image: ImageFacts) -> dict[str, Any]:
    return {
        "reference": image.reference,
        "digest": image.digest,
        "size_bytes": image.size,
        "layer_bytes": layer_bytes(image),
    }


def _describe_baseline(baseline: Baseline, image: ImageFacts) -> dict[str, Any]:
    """``digest`` is that at the registry, for an image that came from one."""
    own = {"given": baseline.given, "kind": baseline.kind, "revision": baseline.revision}
    digest = {"digest": baseline.digest} if baseline.digest else {}
    return {**own, **_describe_image(image), **digest}
