"""The images that stages run in: the Dockerfile stage that builds each, and its tag, which follows from its content."""

from __future__ import annotations

from dataclasses import dataclass

from prebake.bootstrap.base_recipe import Recipe
from prebake.bootstrap.toolchain import toolchain_recipe
from prebake.docker.images.base_image import Base
from prebake.documents.canonical import digest_json
from prebake.plan.layer_kinds import LayerKind
from prebake.plan.values import GPU_TARGETS, Plan
from prebake.workflow.stages.executor import EXPORT, ON_DEVICE


@dataclass(frozen=True)
class StageImage:
    """``stage`` is the stage of the Dockerfile, ``packages`` the folders of Python packages. ``toolchain`` is the recipe of an
    image with a C++ compiler that the stage copies from; None if the base image's package manager installs one."""

    stage: str
    tag: str
    packages: str
    toolchain: Recipe | None = None


def export_image(plan: Plan, base: Base) -> StageImage:
    """The image with the export packages."""
    key = digest_json({"base": base.digest, "packages": plan.export_packages})
    return StageImage("export-packages", f"prebake/export:{key[:16]}", EXPORT)


def artifact_image(plan: Plan, base: Base) -> StageImage:
    """The image in which artifacts are compiled. If torch serves, it has a C++ compiler. For a GPU it has the served ONNX
    Runtime, since that of the export packages does not support GPUs."""
    if plan.compiler_packages:
        return _compiler_image(plan, base)
    return _device_image(plan, base) if plan.target in GPU_TARGETS else export_image(plan, base)


def _device_image(plan: Plan, base: Base) -> StageImage:
    served = next(layer.key for layer in plan.layers if layer.kind is LayerKind.DEPENDENCIES)
    key = digest_json({"base": base.digest, "packages": plan.export_packages, "served": served})
    return StageImage("device-packages", f"prebake/device:{key[:16]}", ON_DEVICE)


def _compiler_image(plan: Plan, base: Base) -> StageImage:
    """The C++ compiler comes from Debian. A base image that was made here has no package manager to install it."""
    recipe = toolchain_recipe() if base.reference == Recipe().reference else None
    key = digest_json({"base": base.digest, "packages": plan.compiler_packages, "toolchain": recipe and recipe.key})
    return StageImage("compiler", f"prebake/compiler:{key[:16]}", EXPORT, recipe)
