"""The keys that say when work has to be done again: of each stage, by what it is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prebake.bake.settings import Settings
from prebake.plan.context import EXPORT_LOCKS, SCRIPTS, compiler_locks
from prebake.plan.layers import sources_digest
from prebake.plan.values import digest
from prebake.spec.image import Target
from prebake.spec.lock import LockedBase, LockedFile
from prebake.spec.project import Project, SourceFile


@dataclass(frozen=True)
class Inputs:
    """What the stages work on: ``settings.json``, code and checkpoint."""

    settings: Settings
    code: tuple[SourceFile, ...]
    files: Iterable[LockedFile]


def serving_keys(project: Project, base: LockedBase) -> dict[str, str]:
    """Of the base, and of the stages that an image's packages and code come from."""
    return {
        "base": digest([base.reference, base.digest]),
        "packages": digest(
            [stages(project, "base", "pip", "runtime", "settle"), *(project.templates[name] for name in SCRIPTS)]
        ),
        "code": digest(stages(project, "image", "settle")),
    }


def compiler_key(project: Project, base: LockedBase, target: Target) -> str:
    """Of the packages that compile for a target where torch serves it; empty elsewhere."""
    locks = compiler_locks(project.spec, target)
    if not locks:
        return ""
    return digest(
        {
            "base": serving_keys(project, base)["base"],
            "requirements": [project.requirements[name] for name in locks],
            "stage": stages(project, "base", "pip", "export_packages", "compiler"),
        }
    )


def stage_keys(project: Project, base: LockedBase, target: Target, inputs: Inputs) -> dict[str, str]:
    """Those of serving, of the export stage and its packages, and of the compile stage on top of it."""
    serving = serving_keys(project, base)
    packages = digest(
        {
            "base": serving["base"],
            "requirements": [project.requirements[name] for name in EXPORT_LOCKS],
            "stage": stages(project, "base", "pip", "export_packages"),
        }
    )
    export = digest(
        {
            "code": sources_digest(inputs.code),
            "packages": packages,
            "stage": stages(project, "export"),
            "settings": inputs.settings.for_export().to_json().decode(),
            "files": {file.path: file.sha256 for file in inputs.files},
        }
    )
    whole = inputs.settings.to_json().decode()
    compile_key = digest({"export": export, "target": target, "stage": stages(project, "compile"), "settings": whole})
    return {**serving, "export packages": packages, "export": export, "compile": compile_key}


def stages(project: Project, *names: str) -> list[str]:
    """The text of stages: part of the key of what they make."""
    return [project.templates[f"stages/{name}.j2"] for name in names]
