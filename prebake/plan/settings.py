"""What the export and compile stages are told: the builder's side of ``settings.json``."""

from __future__ import annotations

from prebake.bake.component import HALVES, Component, Precision, Session
from prebake.bake.settings import Limits, Settings, Shipped
from prebake.plan.runtime import baked_code, runtime_of, spec_for
from prebake.plan.values import digest, is_whole
from prebake.spec.component import Component as SpecComponent
from prebake.spec.image import Target
from prebake.spec.lock import LockedFile
from prebake.spec.project import Project, SourceFile

# TensorRT takes whole graphs or nothing, so what it leaves over falls to CUDA, and last to the CPU: the order is the ladder.
PROVIDERS: dict[Target, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}


GRAPHS_ALONE = "entrypoints.tensors"
"""What serves an image that has no model.py: tensors in, tensors out."""
GRAPHS_AS_PUBLISHED = "prebake.bake.published"
"""What exports one that has no export.py."""


def make_settings(project: Project, target: Target, checkpoint: str, files: tuple[LockedFile, ...]) -> Settings:
    """The settings of one image for one target."""
    spec, code = spec_for(project.spec, target), baked_code(project, target)
    runtime = runtime_of(spec, target)
    return Settings(
        image=spec.name,
        module=_module(project, project.serve, "model") or GRAPHS_ALONE,
        exporter=_module(project, project.export, "export") or GRAPHS_AS_PUBLISHED,
        runtime=runtime,
        networks=_module(project, project.torch, "model_torch") if runtime == "torch" else "",
        compiled=spec.compiled.get(target, "measured") if runtime == "torch" else "none",
        target=target,
        checkpoint=checkpoint,
        model_revision=digest({file.path: file.sha256 for file in code}),
        components={
            name: Component(
                folder=component.folder or "",
                onnx=component.onnx or "",
                torch=component.torch or "",
                inputs=dict(component.inputs),
                precision=_precision(component),
                providers=PROVIDERS[target] if runtime == "onnxruntime" else (),
                session=_session(component, target),
                buckets=component.buckets,
                pad=component.pad,
                outside=component.outside,
                options=_options(component, target),
            )
            for name, component in spec.components.items()
        },
        ship=tuple(_shipped(file) for file in files if is_whole(file)),
        reshard=tuple(_shipped(file) for file in files if file.ship and not is_whole(file)),
        warmup_tolerance=spec.warmup.tolerance,
        fallback=spec.fallback,
        keep_published=any(each != "cpu" and runtime_of(spec, each) == "onnxruntime" for each in spec.targets),
        limits=Limits(spec.limits.body_bytes, spec.limits.queue, spec.limits.seconds),
    )


def _precision(component: SpecComponent) -> Precision:
    said = {name: value for name, value in component.precision.model_dump().items() if value is not None}
    return Precision(**said, derived=component.derived is not False)


def _session(component: SpecComponent, target: Target) -> Session:
    """On a CPU, weights of half precision are cast once, as the session opens: that is constant folding, of level basic.
    Four-bit products have a fast kernel for prepacked weights only. A GPU's provider optimises as it opens a graph: what bakes
    has none."""
    kind, prepack = component.precision.type, component.session.prepack
    packed = kind == "int4" if prepack is None else prepack
    if target != "cpu":
        return Session("extended", packed)
    level = "basic" if kind in HALVES else "disable"
    return Session(level, packed, measure=prepack is None and kind != "int4")


def _options(component: SpecComponent, target: Target) -> dict[str, dict[str, str]]:
    """What image.yaml says of the providers that this target has."""
    session = component.session
    said = {"cuda": session.cuda.said(), "tensorrt": session.tensorrt.said()}
    own = [name for name in said if name == target or target == "tensorrt"]
    return {name: said[name] for name in own if said[name]}


def _module(project: Project, files: tuple[SourceFile, ...], name: str) -> str:
    """The image's own module of that name; empty where it has none."""
    path = f"images/{project.spec.name}/{name}.py"
    return path.removesuffix(".py").replace("/", ".") if any(file.path == path for file in files) else ""


def _shipped(file: LockedFile) -> Shipped:
    return Shipped(file.path, file.size, file.sha256)
