"""``build.py --model NAME``: from image.yaml and weights.lock to an image that was started, compared and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from prebake.bake.errors import read_error
from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.progress import terminal_progress
from prebake.checkpoints.sources import open_sources
from prebake.checkpoints.store import Store, default_root
from prebake.engine.base import resolve_base
from prebake.engine.build import BuildRequest, BuildResult, build
from prebake.engine.connection import Connection, describe, find_engine
from prebake.engine.containers import remove_strays
from prebake.engine.images import inspect_image
from prebake.engine.tags import remove_tag, tag_image
from prebake.errors import BuildFailed, NoRoom
from prebake.measure.floor import Floor, measure_floor
from prebake.measure.ports import Launcher
from prebake.measure.report import SCHEMA, explain_layers, read_report, write_document
from prebake.measure.starting import Start, time_first_answer, time_ready
from prebake.measure.warmup import read_warmup
from prebake.plan.making import check_licence, make_plan
from prebake.plan.values import Options, Plan
from prebake.render.dockerfile import render_context
from prebake.sizes import show_bytes
from prebake.spec.project import Project, read_project
from prebake.workflow.context import write_context
from prebake.workflow.launching import EngineLauncher
from prebake.workflow.packages import pip_inputs
from prebake.workflow.steps import Steps, Tell, only_one

STARTS = 3


@dataclass(frozen=True)
class BuildOrder:
    """What the command line asked for."""

    root: Path
    model: str
    options: Options = field(default_factory=Options)
    base: str = "auto"
    accepted_licence: str | None = None
    naive: bool = False


@dataclass(frozen=True)
class Measured:
    """What a few starts of a built image showed; ``ready`` in seconds, ``startup`` the server's account of the last."""

    starts: Sequence[Start]
    ready: Sequence[float]
    startup: Mapping[str, Any]
    floor: Floor


def build_image(order: BuildOrder, tell: Tell) -> Mapping[str, Any]:
    """Build, prove and measure one image; the report, which also lies in ``build/<model>/report.json``."""
    project = read_project(order.root, order.model)
    plan = make_plan(project, order.options)
    check_licence(plan, order.accepted_licence)
    folder = order.root / "build" / plan.name
    with only_one(folder, plan.name):
        connection = find_engine()
        remove_strays(connection, say=tell)
        store = Store(default_root())
        require_room(plan, store, connection)
        return _carry_out(order, project, plan, folder, connection, store, Steps(tell))


def _carry_out(
    order: BuildOrder, project: Project, plan: Plan, folder: Path, connection: Connection, store: Store, steps: Steps
) -> Mapping[str, Any]:
    with steps.step("fetch", f"{len(plan.files)} files, {show_bytes(sum(file.size for file in plan.files))}"):
        fetch(plan.files, store, open_sources(order.root, plan.name), terminal_progress())
    with steps.step("base", plan.base.reference):
        base = resolve_base(connection, f"{plan.base.reference}@{plan.base.digest}", order.base, say=steps.tell)
    with steps.step("context", str(folder / "context")):
        context = write_context(folder / "context", render_context(plan, project.templates), store)
    candidate = f"{plan.tag}-candidate"
    try:
        with steps.step("build", candidate):
            result = build_context(connection, context, candidate, base.reference, "Dockerfile", steps.tell)
        launcher = EngineLauncher(connection)
        with steps.step("verify", "start it, ask it, compare its answer with the reference"):
            measured = measure_start(launcher, candidate)
        tag_image(connection, candidate, plan.tag)
    finally:
        remove_tag(connection, candidate)
    if order.naive and plan.naive:
        with steps.step("naive", plan.naive_tag):
            build_context(connection, context, plan.naive_tag, base.reference, "naive.Dockerfile", steps.tell)
    return _report(plan, folder, connection, result, steps, measured)


def build_context(
    connection: Connection, context: Path, tag: str, base: str, dockerfile: str, tell: Tell
) -> BuildResult:
    """One Dockerfile of a context, into the Engine; nothing is compressed for a way of a few centimetres."""
    with pip_inputs() as inputs:
        request = BuildRequest(
            context,
            dockerfile=context / dockerfile,
            outputs=(f"type=docker,compression=uncompressed,name={tag}",),
            args={"BASE": base, "SOURCE_DATE_EPOCH": "0"},
            secrets=inputs.secrets,
            named_contexts=inputs.contexts,
        )
        try:
            return build(connection, request, say=tell)
        except BuildFailed as failed:
            raise read_error(failed.output, failed.status) or failed from failed


def measure_start(launcher: Launcher, image: str) -> Measured:
    """A few fresh starts: for the report, not a benchmark. The first warms the page cache and is not counted."""
    warmup = read_warmup(launcher, image)
    time_first_answer(launcher, image, warmup, steady_runs=0)
    starts = [time_first_answer(launcher, image, warmup) for _ in range(STARTS)]
    readies = [time_ready(launcher, image) for _ in range(STARTS)]
    floor = measure_floor(launcher, image, median(start.steady for start in starts))
    return Measured(starts, [seconds for seconds, _ in readies], readies[-1][1], floor)


def require_room(plan: Plan, store: Store, connection: Connection) -> None:
    """Raises NoRoom before anything is fetched or built, with what is needed and what is free."""
    missing = sum(file.size for file in plan.files if store.get(file.sha256, file.size) is None)
    store.require_room(missing)
    facts = describe(connection)
    if facts.free is not None and facts.free < plan.room["engine"]:
        raise NoRoom(
            f"Building {plan.tag} needs up to {show_bytes(plan.room['engine'])} where the Engine keeps its images"
            f" ({facts.root}); {show_bytes(facts.free)} are free.",
            next_action="free room there: `docker system df` shows what is used, `docker builder prune` frees build cache",
        )


def _report(
    plan: Plan,
    folder: Path,
    connection: Connection,
    result: BuildResult,
    steps: Steps,
    measured: Measured,
) -> Mapping[str, Any]:
    path = folder / "report.json"
    image = inspect_image(connection, plan.tag)
    layers = explain_layers(plan, image.layers, read_report(path))
    document = {
        "schema": SCHEMA,
        "image": plan.tag,
        "digest": result.digest,
        "target": plan.target,
        "checkpoint": plan.checkpoint,
        "size": image.size,
        "layers": [asdict(layer) for layer in layers],
        "keys": {"export": plan.export_key, "compile": plan.compile_key},
        "steps": steps.seconds,
        "instructions": [asdict(step) for step in result.steps],
        "phases": list(measured.startup.get("phases", [])),
        "ready_seconds": median(measured.ready),
        "ttfi_seconds": median(start.ttfi for start in measured.starts),
        "floor_seconds": measured.floor.seconds,
        "floor": asdict(measured.floor),
        "difference": max(start.difference for start in measured.starts),
    }
    write_document(path, document)
    return document
