"""``build.py --model NAME``: from image.yaml and weights.lock to an image that was started, compared and measured.

The whole order of a build, from top to bottom: plan (pure), look up compiled artifacts, resolve what can be reused, check the
disk space, plan the steps, run them, assemble the image, deliver it to each output (the Engine's image gets its
name once it was started and compared; a registry's has attestations attached), build the naive image if asked, and report.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from prebake.checkpoints.sources.local_folder import changed_files
from prebake.checkpoints.store.store import Store, default_root
from prebake.docker.connection import find_engine
from prebake.docker.containers.container_spec import ImageMount
from prebake.docker.containers.containers import remove_strays
from prebake.docker.images.images import diff_ids_by_name
from prebake.docker.images.tags import remove_tag, tag_image
from prebake.docker.platform import engine_platform, require_platform
from prebake.io.file_lock import lock_build_folder
from prebake.io.log import Log
from prebake.io.steps import Steps
from prebake.oci.records.layer_records import LayerRecord, Records
from prebake.plan.artifact_layers import ArtifactsByModel
from prebake.plan.planner import check_license, make_plan
from prebake.plan.runtime import serving_requirements
from prebake.plan.values import Plan
from prebake.spec.project import Project, read_project
from prebake.workflow.checkpoint.sized_sample import size_sample
from prebake.workflow.delivery.attestations import RECORDS, AttestedBuild, attach_all, attestations, require_attached
from prebake.workflow.delivery.outputs import (
    Delivery,
    EngineOutput,
    Output,
    RegistryOutput,
    check_outputs,
    mounting_from,
    read_outputs,
)
from prebake.workflow.layers.artifacts import find_artifacts
from prebake.workflow.layers.cache_keys import layer_key
from prebake.workflow.layers.cache_lookup import BuildCache, MissingBlobs, open_caches
from prebake.workflow.layers.layer_store import LayerStore
from prebake.workflow.metadata.ci import builder_uri, read_run
from prebake.workflow.pipeline.assembly import AssembledImage, assemble
from prebake.workflow.pipeline.build_report import WEIGHTS_SUFFIX, BuildReport, read_components, write_report
from prebake.workflow.pipeline.disk_space import require_engine_room, require_store_room
from prebake.workflow.pipeline.naive import build_naive
from prebake.workflow.pipeline.resolution import Resolution, find_base, resolve, with_produced
from prebake.workflow.pipeline.step import Pipeline, has_conditional, merge_pipelines, steps_to_run
from prebake.workflow.pipeline.step_planner import plan_steps
from prebake.workflow.pipeline.step_runner import Workspace, run
from prebake.workflow.requests import BuildRequest
from prebake.workflow.start_check.gpu import cpu_obstacle, find_gpu
from prebake.workflow.start_check.start_check import StartCheck, check_start, explain_precision


def build_image(request: BuildRequest, log: Log) -> Mapping[str, Any]:
    """Build, check and measure one image. Returns the report, which is also written to ``build/<model>/``."""
    project, options = read_project(request.root, request.model), request.options
    if request.size:
        project, options = size_sample(project, options, request.size, log)
    plan = make_plan(project, options)
    check_license(plan, request.accepted_licenses)
    check_outputs(request.outputs, plan.tag, attestations=request.require_attestations, by_digest=request.by_digest)
    _warn_of_changed_files(project, plan, log)
    folder = request.root / "build" / plan.name
    with lock_build_folder(folder, plan.name), ExitStack() as opened:
        connection = find_engine()
        if request.platform:
            require_platform(request.platform, engine_platform(connection))
        outputs = read_outputs(request.outputs, connection, plan.tag, log, by_digest=request.by_digest)
        repositories = [output.repository for output in outputs if isinstance(output, RegistryOutput)]
        caches = open_caches(request.cache_from, repositories, log)
        outputs = mounting_from(outputs, [cache.reference for cache in caches])
        for repository in (*repositories, *caches):
            opened.enter_context(closing(repository))
        remove_strays(connection, log=log)
        store = Store(default_root())
        opened.enter_context(store.in_use())
        layers = LayerStore(store, BuildCache(Records(store.root), repositories, caches), request.compression)
        workspace = Workspace(
            project=project, folder=folder, connection=connection, layers=layers, steps=Steps(log), base=request.base
        )
        return Build(request, plan, find_artifacts(plan, layers, log), workspace).run(outputs)


@dataclass(frozen=True)
class Build:
    """One build. ``plan`` has no artifacts; ``found`` are the artifacts of its models. ``pipelines`` collects every pipeline for
    the report, ``warned`` the keys of artifacts that a warning was logged about."""

    request: BuildRequest
    plan: Plan
    found: ArtifactsByModel
    workspace: Workspace
    pipelines: list[Pipeline] = field(default_factory=list)
    warned: set[str] = field(default_factory=set)

    def run(self, outputs: list[Output]) -> Mapping[str, Any]:
        steps, resolution = self.workspace.steps, self.resolve()
        self._require_room(resolution, outputs)
        with steps.step("layers", f"{len(resolution.plan.layers)} above the base"):
            resolution = self.make_layers(resolution)
        image, check, delivered = self.assemble(resolution), StartCheck(), {}
        for output in outputs:
            if isinstance(output, EngineOutput):
                image, delivered[output.name], check = self._verify(resolution, image)
                continue
            with steps.step(output.name.partition(":")[0], output.name):
                image, delivered[output.name] = deliver(image, output, partial(self.remake, resolution))
                if isinstance(output, RegistryOutput):
                    refused = self._attach(resolution, image, output, check)
                    delivered[output.name] = replace(delivered[output.name], refused=refused)
        if self.request.naive and resolution.plan.naive:
            build_naive(resolution.plan, resolution.require_base(), self.workspace)
        report = write_report(self.workspace.project.root, self._report(resolution, image, delivered, check), steps)
        if self.request.require_attestations:
            require_attached(delivered)
        return report

    def resolve(self, lost: Collection[str] = ()) -> Resolution:
        connection = self.workspace.connection
        base = find_base(self.plan, connection, self.request.base)
        return resolve(self.plan, self.found, self.workspace.layers, connection, base, lost)

    def make_layers(self, resolution: Resolution, lost: Collection[str] = ()) -> Resolution:
        """Run the pipeline. Returns the resolution with the records of every layer.

        If a step is conditional, the pipeline is planned again after the steps before it have run.
        """
        produced_layers: dict[str, tuple[LayerRecord, ...]] = {}
        while True:
            self._warn_of_left_out(resolution)
            pipeline = plan_steps(resolution)
            produced = run(pipeline, resolution.base, self.workspace)
            same_base = produced.base == resolution.base
            self.pipelines.append(pipeline if same_base else pipeline[:1])
            produced_layers |= produced.layers
            if same_base and not has_conditional(pipeline):
                return with_produced(resolution, produced_layers)
            if same_base and not steps_to_run(pipeline):
                raise ValueError("a conditional step has no step before it that decides it")
            resolution = with_produced(self.resolve(lost), produced_layers)

    def assemble(self, resolution: Resolution) -> AssembledImage:
        volume = self.request.weights == "volume"
        base = resolution.require_base()
        return assemble(resolution.plan, resolution.records, base, self.workspace.layers, volume=volume)

    def remake(self, resolution: Resolution, lost: Collection[str]) -> AssembledImage:
        """Make the layers with these digests again: their bytes are needed, but the store no longer has them."""
        for layer in resolution.plan.layers:
            if any(record.digest in lost for record in resolution.records[layer.name] or ()):
                self.workspace.steps.log(f"layers: the store no longer has {layer.name}; building it again")
        return self.assemble(self.make_layers(self.resolve(lost), lost))

    def _verify(self, resolution: Resolution, image: AssembledImage) -> tuple[AssembledImage, Delivery, StartCheck]:
        """The image gets its name in the Engine only after its answer was checked, if it can run on this machine."""
        plan, connection, steps = resolution.plan, self.workspace.connection, self.workspace.steps
        candidate = EngineOutput(connection, f"{plan.tag}-candidate", steps.log)
        volume = candidate.companion(WEIGHTS_SUFFIX)
        volumes = [ImageMount(volume.tag, "models", "/models")] if image.volume else []
        try:
            with steps.step("docker", candidate.tag):
                image, delivered = deliver(image, candidate, partial(self.remake, resolution))
            device = find_gpu(connection, plan.target, candidate.tag)
            components = read_components(plan, resolution.require_base(), self.workspace.layers)
            check = StartCheck(device, cpu_obstacle(plan, components) if device.unavailable else "")
            with steps.step("verify", check.description), explain_precision(plan):
                if not check.not_started:
                    launcher = device.launcher(connection, volumes)
                    check = check_start(launcher, candidate.tag, self.request.starts, check)
            if image.volume:
                tag_image(connection, volume.tag, plan.tag + WEIGHTS_SUFFIX)
            tag_image(connection, candidate.tag, plan.tag)
        finally:
            remove_tag(connection, candidate.tag)
            remove_tag(connection, volume.tag)
        return image, Delivery(plan.tag, delivered.bytes), check

    def _attach(
        self, resolution: Resolution, image: AssembledImage, output: RegistryOutput, check: StartCheck
    ) -> Mapping[str, str]:
        """Attach records and documents to an image. Returns those that the registry refused, with the reason."""
        plan, base, layers = resolution.plan, resolution.require_base(), self.workspace.layers
        built = AttestedBuild(
            plan=plan,
            image=image.image,
            baked=image.volume or image.image,
            base=base,
            requirements=serving_requirements(self.workspace.project, plan.target),
            compression=self.request.compression,
            builder=builder_uri(os.environ),
            run=read_run(os.environ, self.workspace.steps.begun),
            api=check.api,
        )
        keys = [layer_key(layer, layers.compression, base) for layer in plan.layers]
        puts: dict[str, Callable[[], object]] = {
            RECORDS: partial(layers.cache.publish, output.repository, keys),
            **attestations(output.repository, built),
        }
        return attach_all(output.name, puts, self.workspace.steps.log)

    def _report(
        self, resolution: Resolution, image: AssembledImage, delivered: Mapping[str, Delivery], check: StartCheck
    ) -> BuildReport:
        plan, base = resolution.plan, resolution.require_base()
        return BuildReport(
            plan=plan,
            image=image,
            pipeline=merge_pipelines(self.pipelines),
            built=self.workspace.built,
            delivered=delivered,
            check=check,
            other_images=self._other_images(plan) if "docker" in self.request.outputs else {},
            components=read_components(plan, base, self.workspace.layers),
        )

    def _other_images(self, plan: Plan) -> Mapping[str, frozenset[str]]:
        """The Engine's images, without this one under any of its names."""
        own_tags = (plan.tag, plan.naive_tag)
        images = diff_ids_by_name(self.workspace.connection)
        return {name: diffs for name, diffs in images.items() if name.removesuffix(WEIGHTS_SUFFIX) not in own_tags}

    def _require_room(self, resolution: Resolution, outputs: list[Output]) -> None:
        require_store_room(resolution, self.workspace.layers)
        if any(isinstance(output, EngineOutput) for output in outputs):
            require_engine_room(resolution, self.workspace.connection)

    def _warn_of_left_out(self, resolution: Resolution) -> None:
        """Warn once about each artifact that does not fit the graphs."""
        for left_out in resolution.left_out:
            if left_out.artifact.key not in self.warned:
                self.warned.add(left_out.artifact.key)
                self.workspace.steps.log(f"artifact: {left_out}")


def _warn_of_changed_files(project: Project, plan: Plan, log: Log) -> None:
    """Warn about files that were changed since they were pinned: the build uses the pinned bytes."""
    for model in plan.models:
        since = (project.root / "images" / model.name / "weights.lock").stat().st_mtime
        for path in changed_files(model.files, project.root, since):
            how = f"`prebake lock --model {model.name}` pins the changed file"
            log(f"lock: {path} was changed since it was pinned; the build uses the pinned bytes; {how}")


def deliver(
    image: AssembledImage, output: Output, remake: Callable[[Collection[str]], AssembledImage]
) -> tuple[AssembledImage, Delivery]:
    """Deliver an image. Layers that neither the destination nor this machine has are made again.

    A destination may name only some of the blobs that it lacks: an Engine ends a pull at the first layer that it cannot get.
    Raises MissingBlobs for blobs that are missing although their layers were made again.
    """
    remade: set[str] = set()
    while True:
        try:
            return image, _put(image, output)
        except MissingBlobs as missing:
            if remade.issuperset(missing.digests):
                raise
            remade.update(missing.digests)
            image = remake(missing.digests)


def _put(image: AssembledImage, output: Output) -> Delivery:
    """Deliver the weights image first, so that nobody finds an image whose weights are not there yet."""
    weights_bytes = output.companion(WEIGHTS_SUFFIX).put(image.volume).bytes if image.volume else 0
    delivered = output.put(image.image)
    return replace(delivered, bytes=delivered.bytes + weights_bytes)
