"""The cache key of each stage: it follows from the inputs of the stage; those of the layers of packages and code are completed in
``prebake.plan.layers``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prebake.documents.canonical import digest_json
from prebake.documents.settings import StageSettings
from prebake.plan.context_files import EXPORT_LOCKS, UNPACK, cleanup_files, compiler_locks
from prebake.plan.layers import sources_digest
from prebake.spec.image.image import Target
from prebake.spec.image.system_packages import LockedSystem
from prebake.spec.lock import LockedBase, LockedFile
from prebake.spec.project import Project
from prebake.spec.source_file import SourceFile


@dataclass(frozen=True)
class Inputs:
    """The inputs of the stages: ``settings.json``, code and checkpoint files."""

    settings: StageSettings
    code: tuple[SourceFile, ...]
    files: Iterable[LockedFile]


def serving_keys(project: Project, base: LockedBase, system: LockedSystem) -> dict[str, str]:
    """The keys of the base with its system packages, and of the stages that make the layers of packages and code."""
    below = [system.digests, project.templates[UNPACK]] if system.names else []
    cleanup = {file.path: (file.data or b"").decode() for file in cleanup_files(project)}
    return {
        "base": digest_json([base.reference, base.digest, *below]),
        "packages": digest_json([stages(project, "base", "pip", "runtime", "normalize"), cleanup]),
        "code": digest_json(stages(project, "image", "normalize")),
    }


def compiler_key(project: Project, base: LockedBase, target: Target, system: LockedSystem) -> str:
    """The key of the compiler packages; empty if torch does not serve the target."""
    locks = compiler_locks(project.spec, target)
    if not locks:
        return ""
    return digest_json(
        {
            "base": serving_keys(project, base, system)["base"],
            "requirements": [project.requirements[name] for name in locks],
            "stage": stages(project, "base", "pip", "export_packages", "compiler"),
        }
    )


def stage_keys(
    project: Project, base: LockedBase, target: Target, inputs: Inputs, system: LockedSystem
) -> dict[str, str]:
    """The keys of ``serving_keys``, of the export packages, and of the export and compile stages."""
    serving = serving_keys(project, base, system)
    packages = digest_json(
        {
            "base": serving["base"],
            "requirements": [project.requirements[name] for name in EXPORT_LOCKS],
            "stage": stages(project, "base", "pip", "export_packages"),
        }
    )
    export = digest_json(
        {
            "code": sources_digest(inputs.code),
            "packages": packages,
            "stage": stages(project, "export"),
            "settings": inputs.settings.for_export().to_json().decode(),
            "files": {file.path: file.sha256 for file in inputs.files},
        }
    )
    whole = inputs.settings.to_json().decode()
    compile_key = digest_json(
        {"export": export, "target": target, "stage": stages(project, "compile"), "settings": whole}
    )
    return {**serving, "export packages": packages, "export": export, "compile": compile_key}


def stages(project: Project, *names: str) -> list[str]:
    """The template texts of stages, which are part of their keys."""
    return [project.templates[f"stages/{name}.j2"] for name in names]
