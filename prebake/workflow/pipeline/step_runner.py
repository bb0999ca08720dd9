"""Run the steps of a pipeline, in order: the part of a build that fetches, builds and starts containers for its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prebake.checkpoints.fetch import fetch, find_missing
from prebake.checkpoints.progress import terminal_progress
from prebake.docker.buildkit.buildx import BuildResult
from prebake.docker.connection import Connection
from prebake.docker.images.base_image import Base, ensure_debian_base, resolve_base
from prebake.docker.images.images import has_image
from prebake.errors import SourceError
from prebake.io.byte_sizes import format_bytes
from prebake.io.steps import Steps
from prebake.oci.records.layer_records import FileRecord, LayerRecord
from prebake.plan.artifact_layers import layer_files
from prebake.plan.layer_kinds import LayerSource
from prebake.plan.layers import model_folders
from prebake.plan.values import Plan, PlannedLayer
from prebake.render.dockerfile import render_context
from prebake.spec.project import Project
from prebake.workflow.checkpoint.sources import open_sources
from prebake.workflow.checkpoint.system_packages import fetch_system
from prebake.workflow.layers.artifacts import list_artifacts
from prebake.workflow.layers.cache_keys import (
    compiled_key,
    exported_key,
    graphs_key,
    joined_key,
    published_files,
)
from prebake.workflow.layers.layer_store import LayerStore, split_files
from prebake.workflow.pipeline.base_layers import keep_base
from prebake.workflow.pipeline.stage_images import StageImage
from prebake.workflow.pipeline.step import Action, Pipeline, State, Step
from prebake.workflow.pipeline.step_planner import derived_from
from prebake.workflow.stages.buildkit import Builder
from prebake.workflow.stages.context import write_context
from prebake.workflow.stages.executor import ContainerRunner, StageExecutor, derived_of, select_image_files

Layers = dict[str, tuple[LayerRecord, ...]]
"""The records of layers that were made, by name."""


@dataclass(frozen=True)
class Workspace:
    """What the steps of a build use. ``folder`` is the build's folder in the project, ``base`` the choice of ``--base``.
    ``keep_all`` keeps also artifacts that cost more to pull than they save. ``built`` collects BuildKit's results for the
    report."""

    project: Project
    folder: Path
    connection: Connection
    layers: LayerStore
    steps: Steps
    base: str = "auto"
    keep_all: bool = False
    built: list[BuildResult] = field(default_factory=list)

    def context(self, model: str) -> Path:
        """The folder of the build's context: of the image, or of one of its several models."""
        return (self.folder / "members" / model if model else self.folder) / "context"


@dataclass(frozen=True)
class Produced:
    """The results of steps. ``base`` is the base image, ``artifacts`` are the files of the artifacts stage, by model."""

    base: Base | None
    layers: Mapping[str, tuple[LayerRecord, ...]] = field(default_factory=dict)
    artifacts: Mapping[str, tuple[FileRecord, ...]] = field(default_factory=dict)


def run(pipeline: Pipeline, base: Base | None, workspace: Workspace) -> Produced:
    """Run the step ``base``, and every step of the state ``run``. Afterwards the results of stages are on record under the
    steps' keys.

    ``base`` is the base image that the pipeline was planned with. If the step ``base`` brings another one, the run ends there:
    the pipeline has to be planned again.
    """
    layers: Layers = {}
    artifacts: dict[str, tuple[FileRecord, ...]] = {}
    for step in pipeline:
        if step.action is Action.BASE:
            if (found := _have_base(step, workspace)) != base:
                return Produced(found)
        elif step.state is State.KNOWN and step.action in (Action.EXPORT, Action.COMPILE, Action.JOIN):
            workspace.steps.log(f"{step.name}: reused, its inputs did not change")
        elif step.state is State.RUN:
            runner = StepRunner(step, base, workspace)
            if step.layer is not None:
                layers[step.layer.name] = runner.layer()
            elif step.action is Action.ARTIFACTS:
                artifacts[step.plan.name] = runner.artifacts()
            else:
                runner.run()
    return Produced(base, layers, artifacts)


def _have_base(step: Step, workspace: Workspace) -> Base:
    """Pull or make the base image if the Engine does not have it. One that was made here is replaced if the pinned one can
    be pulled."""
    with workspace.steps.step("base", step.subject):
        pinned = step.plan.base
        reference = f"{pinned.reference}@{pinned.digest}"
        return resolve_base(workspace.connection, reference, workspace.base, log=workspace.steps.log)


def fetch_checkpoints(plan: Plan, workspace: Workspace) -> None:
    """Fetch the files of each model's checkpoint that the store lacks."""
    for model in plan.models:
        if files := find_missing(model.files, workspace.layers.store):
            subject = f"{len(files)} files, {format_bytes(sum(file.size for file in files))}"
            with workspace.steps.step("fetch", subject), open_sources(workspace.project.root, model.name) as sources:
                fetch(model.files, workspace.layers.store, sources, terminal_progress())


@dataclass(frozen=True)
class StepRunner:
    """Runs one step."""

    step: Step
    given_base: Base | None
    workspace: Workspace

    @property
    def base(self) -> Base:
        if self.given_base is None:
            raise ValueError(f"{self.step.name} needs a base image")
        return self.given_base

    def run(self) -> None:
        step, plan = self.step, self.step.plan
        match step.action:
            case Action.SYSTEM:
                for system in dict.fromkeys(model.system for model in (plan, *plan.models)):
                    fetch_system(system, self.workspace.layers.store, self.workspace.steps.log)
            case Action.FETCH:
                fetch_checkpoints(plan, self.workspace)
            case Action.CONTEXT:
                self._write_context()
            case Action.STAGE_IMAGE | Action.ARTIFACTS_IMAGE:
                self._build_image(self._image)
            case Action.EXPORT:
                self._stages.export(plan, step.key)
            case Action.COMPILE:
                self._stages.compile(plan, self._files(exported_key(plan, self.base)), step.key)
            case Action.ADD_ARTIFACTS:
                graphs = select_image_files(self._files(compiled_key(plan, self.base)))
                listed = list_artifacts(graphs, plan.artifacts, self.workspace.layers.store)
                self.workspace.layers.cache.records.put_files(step.key, listed)
            case Action.JOIN:
                graphs_by_model = {model.name: self._graphs(model) for model in plan.models}
                self._stages.join(graphs_by_model, step.key)
            case Action.BASE_LAYERS:
                keep_base(self.base, self.workspace.connection, self.workspace.layers, self.workspace.steps.log)
            case Action.BASE | Action.LAYER | Action.ARTIFACTS:
                raise ValueError(f"{step.action} gives a result of its own")

    def artifacts(self) -> tuple[FileRecord, ...]:
        """Compile artifacts for this machine: their files, and the stage's report."""
        exported = self._files(exported_key(self.step.plan, self.base))
        return self._stages.artifacts(self.step.plan, exported, keep_all=self.workspace.keep_all)

    def layer(self) -> tuple[LayerRecord, ...]:
        """Build the layer: the records of its parts, which are kept under the step's key."""
        records = tuple(self._layer())
        self.workspace.layers.cache.records.put_layers(self.step.key, records)
        return records

    def _layer(self) -> list[LayerRecord]:
        layer, plan, layers = self._planned, self.step.plan, self.workspace.layers
        match layer.kind.source:
            case LayerSource.CHECKPOINT:
                return [layers.record_files(published_files(plan, layer))]
            case LayerSource.EXPORT:
                model, folder = derived_from(plan, layer)
                exported = self._files(exported_key(model, self.base))
                derived = derived_of(exported, folder, layer.paths[0].removeprefix("/models/"))
                return [layers.record_files(group) for group in split_files(derived)]
            case LayerSource.ARTIFACT:
                files = layer_files(plan, layer)
                return [
                    layers.record_files([FileRecord(f"models/{file.path}", file.sha256, file.size) for file in files])
                ]
            case LayerSource.GRAPHS:
                return self._graph_layers()
            case LayerSource.PACKAGES:
                return [self._built("packages-layer")]
            case LayerSource.CODE:
                return [self._built("code-layer")]

    def _graph_layers(self) -> list[LayerRecord]:
        """Graphs and manifest, and an entry for each folder of the published and derived files."""
        plan, layers = self.step.plan, self.workspace.layers
        folders = model_folders(plan.shipped, plan.folders, ())
        return [layers.record_files(self._graphs(plan), folders)]

    def _graphs(self, plan: Plan) -> tuple[FileRecord, ...]:
        """The graphs of the plan, with the manifest that lists its artifacts."""
        if plan.members:
            return self._files(joined_key(plan, self.base))
        if plan.artifacts:
            return self._files(graphs_key(plan, self.base))
        return select_image_files(self._files(compiled_key(plan, self.base)))

    def _built(self, stage: str) -> LayerRecord:
        with self._builder.tree(stage) as entries:
            return self.workspace.layers.record_tree(entries)

    def _write_context(self) -> None:
        plan, store = self.step.plan, self.workspace.layers.store
        folder = self._context
        with self.workspace.steps.step("context", str(folder)):
            rendered = render_context(plan, self.workspace.project.templates)
            small = [file for file in rendered if file.sha256 is None or file.path.startswith("system/")]
            write_context(folder, small, store)

    def _build_image(self, image: StageImage) -> None:
        if has_image(self.workspace.connection, image.tag):  # an earlier step made it for another model
            return
        contexts = {}
        if image.toolchain is not None:
            toolchain = ensure_debian_base(self.workspace.connection, image.toolchain, log=self.workspace.steps.log)
            contexts = {"toolchain": f"docker-image://{toolchain.reference}"}
        self._builder.image(image.stage, image.tag, contexts=contexts)

    def _files(self, key: str) -> tuple[FileRecord, ...]:
        files = self.workspace.layers.known_files(key)
        if files is None:
            raise SourceError(f"{self.step.name}: its inputs are no longer in the store.", next_action="build again")
        return files

    @property
    def _planned(self) -> PlannedLayer:
        if self.step.layer is None:
            raise ValueError(f"{self.step.name} makes no layer")
        return self.step.layer

    @property
    def _image(self) -> StageImage:
        if self.step.image is None:
            raise ValueError(f"{self.step.name} has no image")
        return self.step.image

    @property
    def _context(self) -> Path:
        return self.workspace.context(self.step.model)

    @property
    def _builder(self) -> Builder:
        workspace = self.workspace
        return Builder(
            connection=workspace.connection,
            context=self._context,
            base=self.base.reference,
            scratch=workspace.layers.store.folder,
            log=workspace.steps.log,
            results=workspace.built,
        )

    @property
    def _stages(self) -> StageExecutor:
        workspace, image = self.workspace, self._image
        runner = ContainerRunner(workspace.connection, image.tag, workspace.steps.log, image.packages)
        return StageExecutor(
            runner=runner,
            context=self._context,
            store=workspace.layers.store,
            records=workspace.layers.cache.records,
            log=workspace.steps.log,
        )
