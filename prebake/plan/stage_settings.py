"""The builder's side of ``settings.json``, which the export and compile stages read."""

from __future__ import annotations

from prebake.documents.canonical import digest_json
from prebake.documents.component import HALF_TYPES, ComponentSettings, Precision, SessionSettings
from prebake.documents.settings import PublishedFile, RequestLimits, StageSettings
from prebake.plan.runtime import baked_code, runtime_of, spec_for
from prebake.plan.values import is_whole
from prebake.spec.image.component import ComponentSpec
from prebake.spec.image.image import Target
from prebake.spec.lock import LockedFile
from prebake.spec.project import Project
from prebake.spec.source_file import SourceFile

# TensorRT takes a whole graph or none. Graphs that it rejects fall back to CUDA, then to the CPU: that is the order here.
PROVIDERS: dict[Target, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}


TENSOR_SERVER = "entrypoints.model.tensor_model"
"""The model class of an image without model.py: tensors in, tensors out."""
PUBLISHED_EXPORTER = "prebake.bake.stages.export_published"
"""The exporter of an image without export.py."""


def make_settings(project: Project, target: Target, checkpoint: str, files: tuple[LockedFile, ...]) -> StageSettings:
    """The settings of one image for one target."""
    spec, code = spec_for(project.spec, target), baked_code(project, target)
    runtime = runtime_of(spec, target)
    return StageSettings(
        image=spec.name,
        module=_module(project, project.serve, "model") or TENSOR_SERVER,
        exporter=_module(project, project.export, "export") or PUBLISHED_EXPORTER,
        runtime=runtime,
        networks=_module(project, project.torch, "model_torch") if runtime == "torch" else "",
        compiled=spec.compiled.get(target, "auto") if runtime == "torch" else "none",
        target=target,
        checkpoint=checkpoint,
        model_revision=digest_json({file.path: file.sha256 for file in code}),
        components={
            name: ComponentSettings(
                folder=component.folder or "",
                onnx=component.onnx or "",
                torch=component.torch or "",
                inputs=dict(component.inputs),
                precision=_precision(component),
                providers=PROVIDERS[target] if runtime == "onnxruntime" else (),
                session=_session(component, target),
                buckets=component.buckets,
                pad=component.pad,
                overflow=component.overflow,
                options=_options(component, target),
            )
            for name, component in spec.components.items()
        },
        ship=tuple(_shipped(file) for file in files if is_whole(file)),
        reshard=tuple(_shipped(file) for file in files if file.ship and not is_whole(file)),
        warmup_tolerance=spec.warmup.tolerance,
        fallback=spec.fallback,
        keep_published=any(other != "cpu" and runtime_of(spec, other) == "onnxruntime" for other in spec.targets),
        limits=RequestLimits(spec.limits.body_bytes, spec.limits.queue, spec.limits.seconds),
    )


def _precision(component: ComponentSpec) -> Precision:
    settings = {name: value for name, value in component.precision.model_dump().items() if value is not None}
    return Precision(**settings, derived=component.derived is not False)


def _session(component: ComponentSpec, target: Target) -> SessionSettings:
    """On a CPU, ONNX Runtime casts half-precision weights once when it opens a session; that is constant folding, of level
    basic. Four-bit matrix products have a fast kernel for prepacked weights only. A GPU's provider optimizes a graph when it
    opens it, and the machine that bakes has no GPU."""
    kind, prepack = component.precision.type, component.session.prepack
    packed = kind == "int4" if prepack is None else prepack
    if target != "cpu":
        return SessionSettings("extended", packed)
    level = "basic" if kind in HALF_TYPES else "disable"
    return SessionSettings(level, packed, measure=prepack is None and kind != "int4")


def _options(component: ComponentSpec, target: Target) -> dict[str, dict[str, str]]:
    """The options in image.yaml of the providers that this target uses."""
    session = component.session
    options = {"cuda": session.cuda.to_options(), "tensorrt": session.tensorrt.to_options()}
    own = [name for name in options if name == target or target == "tensorrt"]
    return {name: options[name] for name in own if options[name]}


def _module(project: Project, files: tuple[SourceFile, ...], name: str) -> str:
    """The image's own module of that name; empty if it has none."""
    path = f"images/{project.spec.name}/{name}.py"
    return path.removesuffix(".py").replace("/", ".") if any(file.path == path for file in files) else ""


def _shipped(file: LockedFile) -> PublishedFile:
    return PublishedFile(file.path, file.size, file.sha256)
