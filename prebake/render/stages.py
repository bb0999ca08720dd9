"""The stages of a Dockerfile. Of several models, a stage's name contains the model's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prebake.documents.join_settings import MEMBERS
from prebake.plan.layers import model_folders
from prebake.plan.multi_model import lock_prefixes, published_trees
from prebake.plan.values import Member, Plan, weight_folders


@dataclass(frozen=True)
class Packages:
    """A stage with export packages; ``locks`` is the prefix of the names of its requirements locks."""

    stage: str
    locks: str


@dataclass(frozen=True)
class Shipped:
    """A published file: at ``place`` in a tree of the context, at ``path`` in the model's own image."""

    tree: str
    place: str
    path: str


@dataclass(frozen=True)
class Folder:
    """A weight folder: its name in the model's own image, and in this one."""

    name: str
    place: str
    derived: bool


@dataclass(frozen=True)
class ModelStages:
    """One model's stages. ``context`` is its folder in the build's context, with a slash at its end, or empty. ``paths`` are
    the folders of ``/models`` in its graphs' tree, ``compiled`` those of its artifacts."""

    name: str
    context: str
    packages: str
    export: str
    compile: str
    shipped: tuple[Shipped, ...]
    folders: tuple[Folder, ...]
    paths: tuple[str, ...]
    compiled: tuple[str, ...]


def package_stages(plan: Plan) -> tuple[Packages, ...]:
    """One stage for each distinct set of requirements locks."""
    return tuple(Packages(_packages(prefix), prefix) for prefix in dict.fromkeys(lock_prefixes(plan.models).values()))


def model_stages(plan: Plan) -> tuple[ModelStages, ...]:
    """The stages of each model, in the order of the models."""
    return tuple(_stages(plan, member) for member in plan.members or [_alone(plan)])


def _alone(plan: Plan) -> Member:
    """Paths in the image of one model, which are its own."""
    own = {*weight_folders(plan.spec), *(file.path.partition("/")[0] for file in plan.shipped)}
    return Member(plan, {name: name for name in own})


def _stages(whole: Plan, member: Member) -> ModelStages:
    plan, suffix = member.plan, f"-{member.name}" if whole.members else ""
    return ModelStages(
        name=plan.name,
        context=f"{MEMBERS}/{plan.name}/" if whole.members else "",
        packages=_packages(lock_prefixes(whole.models)[plan.export_packages]),
        export=f"export{suffix}",
        compile=f"compile{suffix}",
        shipped=tuple(_shipped(whole, member)),
        folders=tuple(Folder(name, member.place(name), name in plan.derived) for name in weight_folders(plan.spec)),
        paths=model_folders(plan.shipped, plan.folders),
        compiled=model_folders((), (), (f"models/{path}" for artifact in plan.artifacts for path in artifact.files)),
    )


def _packages(prefix: str) -> str:
    return f"export-packages-{prefix}".rstrip("-") if prefix else "export-packages"


def _shipped(whole: Plan, member: Member) -> Iterator[Shipped]:
    own = {member.place(file.path): file.path for file in member.plan.shipped}
    for tree in published_trees(whole):
        for file in tree.files:
            if file.path in own:
                yield Shipped(tree.folder, file.path, own[file.path])
