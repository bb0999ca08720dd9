"""What the export and compile stages are told: the builder's side of ``settings.json``."""

from __future__ import annotations

from prebake.bake.settings import Component, Limits, Session, Settings, Shipped
from prebake.plan.values import digest, is_whole
from prebake.spec.image import ImageSpec, Target
from prebake.spec.lock import LockedFile
from prebake.spec.project import SourceFile

# TensorRT takes whole graphs or nothing, so what it leaves over falls to CUDA, and last to the CPU: the order is the ladder.
PROVIDERS: dict[Target, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}


def make_settings(
    spec: ImageSpec, target: Target, checkpoint: str, files: tuple[LockedFile, ...], code: tuple[SourceFile, ...]
) -> Settings:
    """The settings of one image for one target. ``code`` is what the export stage runs."""
    return Settings(
        image=spec.name,
        module=f"images.{spec.name}.model",
        target=target,
        checkpoint=checkpoint,
        model_revision=digest({file.path: file.sha256 for file in code}),
        components={
            name: Component(
                precision=component.precision,
                providers=PROVIDERS[target],
                session=Session(prepack=component.session.prepack),
            )
            for name, component in spec.components.items()
        },
        ship=tuple(_shipped(file) for file in files if is_whole(file)),
        reshard=tuple(_shipped(file) for file in files if file.ship and not is_whole(file)),
        limits=Limits(spec.limits.body_bytes, spec.limits.queue, spec.limits.seconds),
    )


def _shipped(file: LockedFile) -> Shipped:
    return Shipped(file.path, file.size, file.sha256)
