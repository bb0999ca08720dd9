"""``build.py --model NAME``: from image.yaml and weights.lock to an image that was started, compared and measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from prebake.checkpoints.fetch import fetch, missing
from prebake.checkpoints.local import changed_files
from prebake.checkpoints.progress import terminal_progress
from prebake.checkpoints.store import Store, default_root
from prebake.engine.base import Base, known_base, resolve_base
from prebake.engine.build import BuildResult
from prebake.engine.connection import Connection, find_engine
from prebake.engine.container_spec import ImageMount
from prebake.engine.containers import remove_strays
from prebake.engine.images import layers_by_name
from prebake.engine.platform import engine_platform, require_platform
from prebake.engine.tags import remove_tag, tag_image
from prebake.oci.assembly import EPOCH, BaseImage, assemble
from prebake.oci.compression import Compression
from prebake.oci.records import Records
from prebake.plan.compiled import with_artifacts, without_artifacts
from prebake.plan.container import container_config
from prebake.plan.making import check_licence, make_plan
from prebake.plan.runtime import serving_requirements
from prebake.plan.values import STARTS, Options, Plan
from prebake.render.dockerfile import render_context
from prebake.sizes import show_bytes
from prebake.spec.project import Project, read_project
from prebake.workflow.artifacts import find_artifacts
from prebake.workflow.attesting import Built, attestations
from prebake.workflow.beside import RECORDS, put_beside, require_taken
from prebake.workflow.builder import Builder
from prebake.workflow.ci import builder_uri, read_run
from prebake.workflow.context import write_context
from prebake.workflow.device import find_device, why_not_on_cpu
from prebake.workflow.library import Library
from prebake.workflow.making import Maker
from prebake.workflow.outputs import (
    BytesMissing,
    Delivered,
    Output,
    ToEngine,
    ToRegistry,
    check_outputs,
    read_outputs,
)
from prebake.workflow.parts import Parts
from prebake.workflow.proving import Proof, measure_start, precision_told
from prebake.workflow.reporting import VOLUME, Made, Outcome, write_report
from prebake.workflow.room import layers_known, require_engine_room, require_store_room
from prebake.workflow.sizing import size_sample
from prebake.workflow.sources import open_sources
from prebake.workflow.steps import Steps, Tell, only_one
from prebake.workflow.system import fetch_system

Weights = Literal["baked", "volume"]
_SERVING = ("dependencies", "code")  # the kinds of layers that stay where weights are a volume


@dataclass(frozen=True)
class BuildOrder:
    """What the command line asked for. ``outputs`` are places as ``--output`` names them; ``docker`` is the one where an
    image can be started, and is left only after its answer was compared."""

    root: Path
    model: str
    options: Options = field(default_factory=Options)
    base: str = "auto"
    accepted_licences: Collection[str] = ()
    naive: bool = False
    outputs: tuple[str, ...] = ("docker",)
    compression: Compression = "auto"
    weights: Weights = "baked"
    size: str | None = None  # of the sample checkpoint, as ``1GB``; None: what the lock pins
    starts: int = STARTS
    platform: str | None = None  # as ``linux/amd64``; None: the Engine's
    require_attestations: bool = False


def build_image(order: BuildOrder, tell: Tell) -> Mapping[str, Any]:
    """Build, prove and measure one image; the report, which also lies in ``build/<model>/``."""
    project, options = read_project(order.root, order.model), order.options
    if order.size:
        project, options = size_sample(project, options, order.size, tell)
    plan = make_plan(project, options)
    check_licence(plan, order.accepted_licences)
    check_outputs(order.outputs, plan.tag, attestations=order.require_attestations)
    _tell_changed(project, plan, tell)
    folder = order.root / "build" / plan.name
    with only_one(folder, plan.name), ExitStack() as held:
        connection = find_engine()
        if order.platform:
            require_platform(order.platform, engine_platform(connection))
        outputs = read_outputs(order.outputs, connection, plan.tag, tell)
        repositories = [output.repository for output in outputs if isinstance(output, ToRegistry)]
        for repository in repositories:
            held.enter_context(closing(repository))
        remove_strays(connection, say=tell)
        store = Store(default_root())
        held.enter_context(store.in_use())
        parts = Parts(store, Library(Records(store.root), repositories), order.compression)
        plan = find_artifacts(plan, parts, tell)
        return Job(order, project, plan, folder, connection, parts, Steps(tell)).carry_out(outputs)


@dataclass(frozen=True)
class Job:
    """One build under way."""

    order: BuildOrder
    project: Project
    plan: Plan
    folder: Path
    connection: Connection
    parts: Parts
    steps: Steps

    def carry_out(self, outputs: list[Output]) -> Mapping[str, Any]:
        self._require_room(outputs)
        maker = self.maker()
        if self.plan.compiled and (other := maker.found_other()):
            return replace(self, plan=without_artifacts(self.plan, other)).carry_out(outputs)
        with self.steps.step("layers", f"{len(self.plan.layers)} above the base"):
            made = self._make(maker)
        proof, delivered = Proof(), {}
        for output in outputs:
            if isinstance(output, ToEngine):
                made, delivered[output.name], proof = self._prove(maker, made)
                continue
            with self.steps.step(output.name.partition(":")[0], output.name):
                made, delivered[output.name] = self._deliver(maker, made, output)
                if isinstance(output, ToRegistry):
                    refused = self._put_beside(maker, made, output)
                    delivered[output.name] = replace(delivered[output.name], refused=refused)
        if self.order.naive and self.plan.naive:
            self._build_naive(maker)
        beside = self._beside() if any(isinstance(output, ToEngine) for output in outputs) else {}
        outcome = Outcome(self.plan, made, maker.builder.results, delivered, proof, beside, maker.components())
        report = write_report(self.project.root, outcome, self.steps)
        if self.order.require_attestations:
            require_taken(delivered)
        return report

    def _beside(self) -> Mapping[str, frozenset[str]]:
        """The Engine's other images: not this one by its several names."""
        own = (self.plan.tag, self.plan.naive_tag)
        images = layers_by_name(self.connection)
        return {name: diffs for name, diffs in images.items() if name.removesuffix(VOLUME) not in own}

    def _make(self, maker: Maker) -> Made:
        base, layers = maker.base_image(), maker.layers()
        config, created = container_config(self.plan), self.plan.metadata.created_text or EPOCH
        if self.order.weights == "baked":
            whole = [each.layer for each in layers]
            return Made(assemble(base, whole, config.over, config.annotations, created), base, layers)
        inside = [each.layer for each in layers if each.planned.kind in _SERVING]
        outside = [each.layer for each in layers if each.planned.kind not in _SERVING]
        scratch = BaseImage({key: base.config[key] for key in ("architecture", "os")}, ())
        kept = replace(config, labels=config.stable_labels)
        volume = assemble(scratch, outside, lambda _: {"Labels": dict(kept.labels)}, kept.annotations)
        return Made(assemble(base, inside, config.over, config.annotations, created), base, layers, volume)

    def _require_room(self, outputs: list[Output]) -> None:
        base = self.plan.base
        found = known_base(self.connection, f"{base.reference}@{base.digest}", self.order.base)
        known = layers_known(self.plan, self.parts, found)
        require_store_room(self.plan, self.parts, known)
        if any(isinstance(output, ToEngine) for output in outputs):
            require_engine_room(self.plan, self.connection, known)

    def maker(self) -> Maker:
        base = self.plan.base
        with self.steps.step("base", base.reference):
            found = resolve_base(
                self.connection, f"{base.reference}@{base.digest}", self.order.base, say=self.steps.tell
            )
        results: list[BuildResult] = []
        with self.steps.step("context", str(self.folder / "context")):
            members = tuple(
                self._maker_of(plan, found, self.folder / "members" / plan.name, results)
                for plan in self.plan.models
                if self.plan.members
            )
            return replace(self._maker_of(self.plan, found, self.folder, results), members=members)

    def _maker_of(self, plan: Plan, base: Base, folder: Path, results: list[BuildResult]) -> Maker:
        store, tell = self.parts.store, self.steps.tell
        fetch_system(plan.system, store, tell)
        rendered = render_context(plan, self.project.templates)
        small = [file for file in rendered if file.sha256 is None or file.path.startswith("system/")]
        context = write_context(folder / "context", small, store)
        builder = Builder(self.connection, context, base.reference, store.folder, tell, results)
        return Maker(plan, self.connection, base, builder, self.parts, partial(self._fetch, plan), tell)

    def _fetch(self, plan: Plan) -> None:
        """What the store lacks of the checkpoint, or of the checkpoints."""
        store = self.parts.store
        for model in plan.models:
            if files := missing(model.files, store):
                told = f"{len(files)} files, {show_bytes(sum(file.size for file in files))}"
                with self.steps.step("fetch", told), open_sources(self.order.root, model.name) as sources:
                    fetch(model.files, store, sources, terminal_progress())

    def _prove(self, maker: Maker, made: Made) -> tuple[Made, Delivered, Proof]:
        """The image gets its name in the Engine only after it gave the right answer, where it can give one here."""
        candidate = ToEngine(self.connection, f"{self.plan.tag}-candidate", self.steps.tell)
        volume = candidate.beside(VOLUME)
        volumes = [ImageMount(volume.tag, "models", "/models")] if made.volume else []
        try:
            with self.steps.step("docker", candidate.tag):
                made, delivered = self._deliver(maker, made, candidate)
            device = find_device(self.connection, self.plan.target, candidate.tag)
            proof = Proof(device, why_not_on_cpu(self.plan, maker.components()) if device.lacking else "")
            step = self.steps.step("verify", proof.plan)
            with step, precision_told(self.plan):
                if not proof.unstarted:
                    launcher = device.launcher(self.connection, volumes)
                    proof = replace(proof, measured=measure_start(launcher, candidate.tag, self.order.starts))
            if made.volume:
                tag_image(self.connection, volume.tag, self.plan.tag + VOLUME)
            tag_image(self.connection, candidate.tag, self.plan.tag)
        finally:
            remove_tag(self.connection, candidate.tag)
            remove_tag(self.connection, volume.tag)
        return made, Delivered(self.plan.tag, delivered.bytes), proof

    def _deliver(self, maker: Maker, made: Made, output: Output) -> tuple[Made, Delivered]:
        def remake(digests: Collection[str]) -> Made:
            maker.remake(digests)
            return self._make(maker)

        return deliver(made, output, remake)

    def _put_beside(self, maker: Maker, made: Made, output: ToRegistry) -> Mapping[str, str]:
        """What the registry does not take of the records and attestations, with the reason."""
        requirements = serving_requirements(self.project, self.plan.target)
        baked, builder = made.volume or made.image, builder_uri(os.environ)
        run = read_run(os.environ, self.steps.begun)
        built = Built(self.plan, made.image, baked, maker.base, requirements, self.order.compression, builder, run)
        puts: dict[str, Callable[[], object]] = {
            RECORDS: partial(maker.publish, output.repository),
            **attestations(output.repository, built),
        }
        return put_beside(output.name, puts, self.steps.tell)

    def _build_naive(self, maker: Maker) -> None:
        self._fetch(self.plan)
        store = self.parts.store
        with self.steps.step("naive", self.plan.naive_tag):
            rendered = render_context(with_artifacts(self.plan, {}), self.project.templates)
            context = write_context(self.folder / "naive", rendered, store)
            builder = Builder(self.connection, context, maker.base.reference, store.folder, self.steps.tell)
            builder.image(None, self.plan.naive_tag, "naive.Dockerfile")


def _tell_changed(project: Project, plan: Plan, tell: Tell) -> None:
    """What is pinned is built, whatever lies in the folder by now; but whoever wrote it anew should know."""
    for model in plan.models:
        since = (project.root / "images" / model.name / "weights.lock").stat().st_mtime
        for path in changed_files(model.files, project.root, since):
            how = f"`prebake lock --model {model.name}` takes the new one"
            tell(f"lock: {path} is not what weights.lock pins any more; {how}")


def deliver(made: Made, output: Output, remake: Callable[[Collection[str]], Made]) -> tuple[Made, Delivered]:
    """Put an image, and make again what is neither at the destination nor here.

    A destination may name a part of what it lacks: an Engine ends a pull at the first layer that it cannot have. Raises
    BytesMissing for what is missing although it was made again.
    """
    remade: set[str] = set()
    while True:
        try:
            return made, _put(made, output)
        except BytesMissing as lacking:
            if remade.issuperset(lacking.digests):
                raise
            remade.update(lacking.digests)
            made = remake(lacking.digests)


def _put(made: Made, output: Output) -> Delivered:
    """Weights first: nobody should find an image whose weights are still on their way."""
    beside = output.beside(VOLUME).put(made.volume).bytes if made.volume else 0
    delivered = output.put(made.image)
    return replace(delivered, bytes=delivered.bytes + beside)
