"""Which stages a Dockerfile has: one model's have plain names, those of several are told apart by the model's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prebake.bake.join_settings import MEMBERS
from prebake.plan.layers import model_folders
from prebake.plan.places import lock_prefixes, trees_of
from prebake.plan.values import Member, Plan, weight_folders


@dataclass(frozen=True)
class Packages:
    """A stage with export packages; ``locks`` is what the names of its requirements locks begin with."""

    stage: str
    locks: str


@dataclass(frozen=True)
class Shipped:
    """A published file: in a tree of the context at ``place``, in the model's own image at ``path``."""

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
    """One model's stages; ``context`` is the folder of the build's context that is its own, with a slash or empty, and
    ``paths`` are the folders of ``/models`` that its graphs' tree has, ``compiled`` those of its artifacts."""

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
    """One for each set of requirements locks among the models."""
    return tuple(Packages(_packages(prefix), prefix) for prefix in dict.fromkeys(lock_prefixes(plan.models).values()))


def model_stages(plan: Plan) -> tuple[ModelStages, ...]:
    """In the order of the models."""
    return tuple(_stages(plan, member) for member in plan.members or [_alone(plan)])


def _alone(plan: Plan) -> Member:
    """A model by itself has everything at its own path."""
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
        compiled=model_folders((), (), (f"models/{path}" for each in plan.artifacts for path in each.files)),
    )


def _packages(prefix: str) -> str:
    return f"export-packages-{prefix}".rstrip("-") if prefix else "export-packages"


def _shipped(whole: Plan, member: Member) -> Iterator[Shipped]:
    own = {member.place(file.path): file.path for file in member.plan.shipped}
    for tree in trees_of(whole):
        for file in tree.files:
            if file.path in own:
                yield Shipped(tree.folder, file.path, own[file.path])
