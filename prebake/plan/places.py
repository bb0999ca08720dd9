"""Where the models of an image of several lie: each where it lies alone, unless another one is there already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from prebake.bake.join_settings import MEMBERS
from prebake.plan.layers import Tree, tree_of, weight_trees
from prebake.plan.values import Member, Plan, weight_folders
from prebake.spec.lock import LockedFile

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Taken:
    """What models already lie at a top-level place: published files' sha256 by path, and whether that is all there is."""

    files: Mapping[str, str]
    published: bool

    def agrees(self, other: Taken) -> bool:
        """Whether both may lie here: published files alone, the same where they are called the same."""
        common = self.files.keys() & other.files.keys()
        same = all(self.files[path] == other.files[path] for path in common)
        return self.published and other.published and bool(common) and same

    def joined(self, other: Taken) -> Taken:
        return Taken({**self.files, **other.files}, self.published and other.published)


def place_members(plans: Iterable[Plan]) -> tuple[Member, ...]:
    """Each plan with the places of its top-level folders and files below /models.

    A folder of the same name with something else in it moves whole, that of the later model: graphs find their weights
    beside themselves.
    """
    taken: dict[str, Taken] = {name: Taken({}, published=False) for name in (MEMBERS, MANIFEST)}
    members = []
    for plan in plans:
        places = {}
        for entry, content in _entries(plan).items():
            place = entry
            while place in taken and not taken[place].agrees(content):
                place = f"{plan.name}.{place}"
            taken[place] = taken[place].joined(content) if place in taken else content
            places[entry] = place
        members.append(Member(plan, places))
    return tuple(members)


def _entries(plan: Plan) -> dict[str, Taken]:
    """The top-level folders and files with weights or graphs in them, in the order of their paths."""
    names = {*weight_folders(plan.spec), *(file.path.partition("/")[0] for file in plan.shipped)}
    return {
        name: Taken(
            {file.path.partition("/")[2]: file.sha256 for file in plan.shipped if file.path.partition("/")[0] == name},
            name not in plan.derived,
        )
        for name in sorted(names)
    }


def lock_prefixes(plans: Iterable[Plan]) -> dict[str, str]:
    """What the names of requirements locks begin with, by the key of the export packages: nothing for those of the first
    model, and of every other that has the same ones."""
    prefixes: dict[str, str] = {}
    for plan in plans:
        prefixes.setdefault(plan.export_packages, f"{plan.name}-" if prefixes else "")
    return prefixes


def trees_of(plan: Plan) -> tuple[Tree, ...]:
    """The trees of an image's published files, in the order of their layers."""
    return member_trees(plan.members) if plan.members else weight_trees(plan.shipped)


def member_trees(members: Iterable[Member]) -> tuple[Tree, ...]:
    """The published files of all, in the order of their layers: each layer as the model alone has it, but for what lies
    elsewhere and for what an earlier layer has."""
    trees: list[Tree] = []
    seen: set[str] = set()
    for member in members:
        for tree in weight_trees(member.plan.shipped):
            files = tuple(file for file in placed_files(member, tree.files) if file.path not in seen)
            seen.update(file.path for file in files)
            trees += [tree_of(files)] if files else []
    return tuple(trees)


def placed_files(member: Member, files: Iterable[LockedFile]) -> tuple[LockedFile, ...]:
    """Published files by their paths in the image."""
    return tuple(sorted((replace(file, path=member.place(file.path)) for file in files), key=lambda file: file.path))
