"""Plan the steps of a build from a Resolution. Pure: the resolution has every fact that is looked up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prebake.docker.images.base_image import Base
from prebake.io.byte_sizes import format_bytes
from prebake.plan.artifact_layers import layer_artifacts
from prebake.plan.layer_kinds import LayerSource
from prebake.plan.values import Plan, PlannedLayer
from prebake.workflow.layers.cache_keys import base_key, compiled_key, exported_key, graphs_key, joined_key, layer_key
from prebake.workflow.pipeline.resolution import Resolution
from prebake.workflow.pipeline.stage_images import artifact_image, export_image
from prebake.workflow.pipeline.step import Action, Pipeline, Place, Step, decide

_UNCHANGED = "nothing that it is made of changed"
_NO_BASE = "the cache can be read once the base image is there"
_UNCHECKED = "artifacts are checked against the graphs once these are compiled"


def plan_steps(resolution: Resolution) -> Pipeline:
    """The steps that make the layers of an image, in order."""
    steps = [*_steps_before_layers(resolution), *_layer_steps(resolution)]
    wanted = {str(Action.BASE): "the Engine does not have it"}
    for step in steps:
        if step.action in (Action.LAYER, Action.BASE_LAYERS):
            lost = step.layer is not None and step.layer.name in resolution.lost
            wanted[step.name] = "its bytes are gone" if lost else "it is not on record"
        if step.action is Action.COMPILE and any(
            found.key in resolution.undecided_artifacts for found in step.plan.artifacts
        ):
            wanted[step.name] = "artifacts are checked against its graphs"
    return decide(steps, wanted)


def plan_artifacts(resolution: Resolution, model: str) -> Pipeline:
    """The steps of ``prebake compile`` for one model. Its artifacts are compiled even if some are on record."""
    compiled = (Action.COMPILE, Action.ADD_ARTIFACTS, Action.JOIN)
    steps = [step for step in _steps_before_layers(resolution) if step.action not in compiled]
    wanted = {str(Action.BASE): "the Engine does not have it"}
    (stages,) = (stages for stages in _list_model_steps(resolution) if stages.plan.name == model)
    steps += stages.artifacts()
    wanted[stages.name(Action.ARTIFACTS)] = "it was asked for"
    return decide(steps, wanted)


@dataclass(frozen=True)
class ModelSteps:
    """The stages of one plan: of an image, or of ``model`` in an image of several. Then their names begin with the model's."""

    plan: Plan
    resolution: Resolution
    model: str = ""

    def name(self, action: Action) -> str:
        return f"{self.model}/{action}" if self.model else str(action)

    def names(self, *actions: Action) -> tuple[str, ...]:
        return tuple(self.name(action) for action in actions)

    @property
    def graphs(self) -> str:
        """The name of the step that leaves the graphs with the manifest that lists their artifacts."""
        return self.name(Action.ADD_ARTIFACTS if self.plan.artifacts else Action.COMPILE)

    @property
    def undecided(self) -> bool:
        return any(artifact.key in self.resolution.undecided_artifacts for artifact in self.plan.all_artifacts)

    def fetch(self) -> Step:
        absent = self.resolution.missing[self.plan.name]
        return Step(
            name=self.name(Action.FETCH),
            action=Action.FETCH,
            plan=self.plan,
            place=Place.HERE,
            subject=f"{len(absent)} files, {format_bytes(sum(file.size for file in absent))}" if absent else "",
            known="" if absent else "the store has every file",
            model=self.model,
        )

    def context(self) -> Step:
        return Step(
            name=self.name(Action.CONTEXT),
            action=Action.CONTEXT,
            plan=self.plan,
            place=Place.HERE,
            inputs=(str(Action.SYSTEM),),
            model=self.model,
        )

    def stage_image(self, action: Action = Action.STAGE_IMAGE) -> Step:
        """Build the image that stages run in, or with ``ARTIFACTS_IMAGE`` that in which artifacts are compiled."""
        image = None
        if self.resolution.base:
            choose = artifact_image if action is Action.ARTIFACTS_IMAGE else export_image
            image = choose(self.plan, self.resolution.base)
        return Step(
            name=self.name(action),
            action=action,
            plan=self.plan,
            place=Place.BUILDKIT,
            subject=image.tag if image else "",
            inputs=(str(Action.BASE), self.name(Action.CONTEXT)),
            known="the Engine has it" if image and image.tag in self.resolution.engine_images else "",
            undecided="" if image else _NO_BASE,
            model=self.model,
            image=image,
        )

    def export(self) -> Step:
        key = exported_key(self.plan, self.resolution.base) if self.resolution.base else ""
        return self._stage(Action.EXPORT, key, self.names(Action.FETCH))

    def compile(self) -> Step:
        key = compiled_key(self.plan, self.resolution.base) if self.resolution.base else ""
        return self._stage(Action.COMPILE, key, self.names(Action.FETCH, Action.EXPORT))

    def join(self, graphs: tuple[str, ...]) -> Step:
        key = joined_key(self.plan, self.resolution.base) if self.resolution.base else ""
        return self._stage(Action.JOIN, key, graphs, _UNCHECKED if self.undecided else "")

    def add_artifacts(self) -> Step:
        key = graphs_key(self.plan, self.resolution.base) if self.resolution.base else ""
        undecided = _UNCHECKED if self.undecided else ""
        return Step(
            name=self.name(Action.ADD_ARTIFACTS),
            action=Action.ADD_ARTIFACTS,
            plan=self.plan,
            place=Place.HERE,
            key=key,
            inputs=self.names(Action.COMPILE),
            known=_UNCHANGED if not undecided and key in self.resolution.stored_keys else "",
            undecided=undecided if key else _NO_BASE,
            model=self.model,
        )

    def artifacts(self) -> tuple[Step, Step]:
        """Build the image in which artifacts are compiled, and compile them for this machine."""
        image = self.stage_image(Action.ARTIFACTS_IMAGE)
        inputs = self.names(Action.FETCH, Action.EXPORT, Action.CONTEXT, Action.ARTIFACTS_IMAGE)
        compiled = Step(
            name=self.name(Action.ARTIFACTS),
            action=Action.ARTIFACTS,
            plan=self.plan,
            place=Place.CONTAINER,
            inputs=inputs,
            undecided=image.undecided,
            model=self.model,
            image=image.image,
        )
        return image, compiled

    def _stage(self, action: Action, key: str, inputs: tuple[str, ...], undecided: str = "") -> Step:
        """A stage in a container, which leaves files on record under ``key``."""
        base = self.resolution.base
        return Step(
            name=self.name(action),
            action=action,
            plan=self.plan,
            place=Place.CONTAINER,
            key=key,
            inputs=(*inputs, *self.names(Action.CONTEXT, Action.STAGE_IMAGE)),
            known=_UNCHANGED if not undecided and key in self.resolution.stored_keys else "",
            undecided=undecided if key else _NO_BASE,
            model=self.model,
            image=export_image(self.plan, base) if base else None,
        )


def _list_model_steps(resolution: Resolution) -> list[ModelSteps]:
    plan = resolution.plan
    return [ModelSteps(model, resolution, model.name if plan.members else "") for model in plan.models]


def _steps_before_layers(resolution: Resolution) -> Iterator[Step]:
    """Every step before the layers. For several models: the stages of each, then the join."""
    plan, models = resolution.plan, _list_model_steps(resolution)
    yield _base_step(resolution)
    yield Step(
        name=str(Action.SYSTEM),
        action=Action.SYSTEM,
        plan=plan,
        place=Place.HERE,
        subject=f"{resolution.system_missing} packages" if resolution.system_missing else "",
        known="" if resolution.system_missing else "the store has every package",
    )
    for model in models:
        yield from (model.fetch(), model.context(), model.stage_image(), model.export(), model.compile())
        if model.plan.artifacts:
            yield model.add_artifacts()
    if plan.members:
        whole = ModelSteps(plan, resolution)
        yield from (whole.context(), whole.stage_image(), whole.join(tuple(model.graphs for model in models)))


def _base_step(resolution: Resolution) -> Step:
    base = resolution.base
    return Step(
        name=str(Action.BASE),
        action=Action.BASE,
        plan=resolution.plan,
        place=Place.ENGINE,
        subject=base.reference if base else resolution.plan.base.reference,
        known=_where_base(base) if base else "",
        undecided="" if resolution.engine else "no Docker Engine answers",
    )


def _where_base(base: Base) -> str:
    return "the Engine has it" if base.kind == "pinned" else "made here; replaced once the pinned image can be pulled"


def _layer_steps(resolution: Resolution) -> Iterator[Step]:
    plan, base = resolution.plan, resolution.base
    yield Step(
        name=str(Action.BASE_LAYERS),
        action=Action.BASE_LAYERS,
        plan=plan,
        place=Place.ENGINE,
        subject=base.reference if base else plan.base.reference,
        key=base_key(base) if base else "",
        inputs=(str(Action.BASE),),
        known=_UNCHANGED if resolution.base_layers_known else "",
        undecided="" if base else _NO_BASE,
    )
    for layer in plan.layers:
        needs_base = base is None and not layer.kind.on_any_base
        built = layer.kind.source in (LayerSource.PACKAGES, LayerSource.CODE)
        yield Step(
            name=f"{Action.LAYER} {layer.name}",
            action=Action.LAYER,
            plan=plan,
            place=Place.BUILDKIT if built else Place.HERE,
            subject=layer.kind,
            key="" if needs_base else layer_key(layer, resolution.compression, base),
            inputs=_layer_inputs(resolution, layer),
            known=_UNCHANGED if resolution.records[layer.name] is not None else "",
            undecided=_NO_BASE if needs_base else _unchecked(layer, resolution),
            layer=layer,
        )


def _unchecked(layer: PlannedLayer, resolution: Resolution) -> str:
    """Why it is not known yet whether the image has this layer: its artifacts are not compared with the graphs yet."""
    if layer.kind.source is LayerSource.GRAPHS:
        return _UNCHECKED if resolution.undecided_artifacts else ""
    if layer.kind.source is LayerSource.ARTIFACT:
        return _UNCHECKED if layer_artifacts(resolution.plan)[layer.name].key in resolution.undecided_artifacts else ""
    return ""


def _layer_inputs(resolution: Resolution, layer: PlannedLayer) -> tuple[str, ...]:
    """The names of the steps that a layer's files come from."""
    models = _list_model_steps(resolution)
    match layer.kind.source:
        case LayerSource.PACKAGES | LayerSource.CODE:
            return str(Action.BASE), str(Action.CONTEXT)
        case LayerSource.CHECKPOINT:
            return tuple(model.name(Action.FETCH) for model in models)
        case LayerSource.EXPORT:
            source = derived_from(resolution.plan, layer)[0]
            return tuple(model.name(Action.EXPORT) for model in models if model.plan.name == source.name)
        case LayerSource.ARTIFACT:
            return ()
        case LayerSource.GRAPHS:
            return (str(Action.JOIN),) if resolution.plan.members else (models[0].graphs,)


def derived_from(plan: Plan, layer: PlannedLayer) -> tuple[Plan, str]:
    """The plan whose export stage makes a derived layer, and the weight folder's name there."""
    place = layer.paths[0].removeprefix("/models/")
    for member in plan.members:
        for folder in member.plan.derived:
            if member.place(folder) == place:
                return member.plan, folder
    return plan, place
