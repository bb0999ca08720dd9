"""``prebake bake-file DIR``: any set of images and targets as contexts and one file for `docker buildx bake`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prebake.errors import SpecInvalid
from prebake.measure.report import write_text
from prebake.oci.compression import Compression
from prebake.plan.making import make_plan
from prebake.plan.metadata import Metadata
from prebake.plan.values import Options
from prebake.render.bakefile import render_bake_file
from prebake.spec.image import Target
from prebake.spec.project import list_images, read_project, read_spec
from prebake.workflow.rendering import Rendering, render_folder
from prebake.workflow.steps import Tell

FILE = "docker-bake.json"


@dataclass(frozen=True)
class Fleet:
    """Which images; all of the project where ``models`` is empty, all that each has where ``targets`` is."""

    root: Path
    models: Sequence[str] = ()
    targets: Sequence[Target] = ()
    accepted_licences: Collection[str] = ()
    metadata: Metadata = field(default_factory=Metadata)
    compression: Compression = "auto"


def write_fleet(fleet: Fleet, folder: Path, tell: Tell) -> Path:
    """Render each context into ``folder/MODEL-TARGET``, and the file beside them; its path. Every image is planned before
    anything is written. Raises SpecInvalid where nothing is left to build."""
    projects = {name: read_project(fleet.root, name) for name in fleet.models or list_images(fleet.root)}
    plans = {
        f"{name}-{target}": make_plan(projects[name], Options(target=target, metadata=fleet.metadata))
        for name, target in _chosen(fleet, projects)
    }
    if not plans:
        raise SpecInvalid("No image has such a target.", [], next_action="`--list` shows images and their targets")
    for name, plan in plans.items():
        render_folder(projects[plan.name], plan, Rendering(folder / name, fleet.accepted_licences), tell)
    path = folder / FILE
    write_text(path, render_bake_file(plans, fleet.compression))
    return path


def _chosen(fleet: Fleet, names: Iterable[str]) -> list[tuple[str, Target]]:
    return [
        (name, target)
        for name in names
        for target in read_spec(fleet.root, name).targets
        if not fleet.targets or target in fleet.targets
    ]
