"""The plan of an image of several models: the union of their layers, a stage that joins graphs and manifests, one server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from prebake.documents.canonical import digest_json
from prebake.documents.join_settings import MEMBERS, JoinSettings
from prebake.documents.model_manifest import MODEL_MANIFEST
from prebake.plan.context_files import EXPORT_LOCKS, cleanup_files, prefixed, system_files
from prebake.plan.layers import (
    Tree,
    code_layer,
    derived_layer,
    graphs_layer,
    make_tree,
    packages_layer,
    published_layers,
    sources_digest,
    weight_trees,
)
from prebake.plan.stage_keys import serving_keys, stages
from prebake.plan.values import ContextFile, Member, Options, Plan, PlannedLayer, weight_folders
from prebake.spec.image.image import Target
from prebake.spec.image.system_packages import join_systems
from prebake.spec.lock import LockedFile, LockedLayer
from prebake.spec.project import Project
from prebake.spec.source_file import SourceFile


def join_plans(project: Project, options: Options, plans: Sequence[Plan]) -> Plan:
    """``plans`` are those of the models, each as for an image of its own, on the same base."""
    spec, members = project.spec, place_members(plans)
    settings = JoinSettings(spec.name, options.target, {member.name: member.places for member in members}).to_json()
    code = prefixed("bake/", project.bake)
    app = prefixed("app/", tuple(_served(project)))
    system = join_systems([plan.system for plan in plans])
    keys = {**serving_keys(project, plans[0].base, system), **_keys(project, plans, settings, code)}
    return Plan(
        spec=spec,
        target=options.target,
        checkpoint=",".join(f"{plan.name}/{plan.checkpoint}" for plan in plans),
        tag=options.image_tag(spec),
        base=plans[0].base,
        files=tuple(_files(members)),
        layers=(
            packages_layer(keys, project.requirements[options.target]),
            *published_layers(member_trees(members), _locked(project, plans)),
            *_derived(members),
            graphs_layer(keys),
            code_layer(keys, app),
        ),
        export_packages=plans[0].export_packages,
        export_key=keys["export"],
        compile_key=keys["compile"],
        context=(*_context(project, options.target, members, (*code, *app), settings), *system_files(project, system)),
        naive=False,
        room={place: sum(plan.room[place] for plan in plans) for place in plans[0].room},
        members=members,
        metadata=options.metadata,
        system=system,
    )


def _served(project: Project) -> Iterator[SourceFile]:
    """The server's files once, then each model's code and notices."""
    yield from (*project.entrypoints, *project.notices)
    for name, member in project.models.items():
        yield from member.serve
        yield from (SourceFile(f"notices/{name}/{file.path.partition('/')[2]}", file.data) for file in member.notices)


def _keys(project: Project, plans: Iterable[Plan], settings: bytes, code: tuple[SourceFile, ...]) -> dict[str, str]:
    join = {"code": sources_digest(code), "settings": settings.decode(), "stage": stages(project, "join")}
    return {
        "export": digest_json({plan.name: plan.export_key for plan in plans}),
        "compile": digest_json({"join": join, "models": {plan.name: plan.compile_key for plan in plans}}),
    }


def _files(members: Sequence[Member]) -> Iterator[LockedFile]:
    """Each published file once, by its path in the image; then the files that only stages read, by model."""
    published = tuple(file for tree in member_trees(members) for file in tree.files)
    yield from published
    for member in members:
        shipped = set(member.plan.shipped)
        yield from placed_files(member, (file for file in member.plan.files if file not in shipped))


def _locked(project: Project, plans: Iterable[Plan]) -> list[LockedLayer]:
    locks = ((project.models[plan.name].lock, plan.checkpoint) for plan in plans)
    return [layer for lock, name in locks if lock for layer in lock.checkpoints[name].layers]


def _derived(members: Iterable[Member]) -> Iterator[PlannedLayer]:
    for member in members:
        for folder in weight_folders(member.plan.spec):
            if folder in member.plan.derived:
                yield derived_layer(member.place(folder), member.plan.export_key)


def _context(
    project: Project, target: Target, members: Sequence[Member], sources: Iterable[SourceFile], settings: bytes
) -> tuple[ContextFile, ...]:
    """The image's own files at their usual paths; below ``members/NAME`` the code of a model's stages."""
    lock = f"requirements/{target}.txt"
    files = [ContextFile(file.path, file.data) for file in sources]
    files.append(ContextFile("bake/settings.json", settings))
    files.append(ContextFile(lock, project.requirements[target].encode()))
    files += cleanup_files(project)
    files += _export_locks([member.plan for member in members])
    for member in members:
        own = (file for file in member.plan.context if file.path.startswith("bake/"))
        files += [replace(file, path=f"{MEMBERS}/{member.name}/{file.path}") for file in own]
    return tuple(sorted(files, key=lambda file: file.path))


def _export_locks(plans: Sequence[Plan]) -> Iterator[ContextFile]:
    """Each distinct set of export locks once: models without locks of their own share one."""
    first = {plan.export_packages: plan for plan in reversed(plans)}
    names = {f"requirements/{name}.txt" for name in EXPORT_LOCKS}
    for key, prefix in lock_prefixes(plans).items():
        for file in first[key].context:
            if file.path in names:
                yield replace(file, path=file.path.replace("/", f"/{prefix}"))


@dataclass(frozen=True)
class PlaceContent:
    """The content of a top-level path that is taken: the sha256 of published files by path, and whether it holds nothing
    else."""

    files: Mapping[str, str]
    published: bool

    def agrees(self, other: PlaceContent) -> bool:
        """Whether both can share the path: both hold published files only, and files of the same name are equal."""
        common = self.files.keys() & other.files.keys()
        same = all(self.files[path] == other.files[path] for path in common)
        return self.published and other.published and bool(common) and same

    def joined(self, other: PlaceContent) -> PlaceContent:
        return PlaceContent({**self.files, **other.files}, self.published and other.published)


def place_members(plans: Iterable[Plan]) -> tuple[Member, ...]:
    """Give every model paths for its top-level folders and files below /models.

    If two models have a folder of the same name with different content, the later model's whole folder is renamed: graphs
    look for weights in their own folder.
    """
    taken: dict[str, PlaceContent] = {name: PlaceContent({}, published=False) for name in (MEMBERS, MODEL_MANIFEST)}
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


def _entries(plan: Plan) -> dict[str, PlaceContent]:
    """The top-level folders and files that hold weights or graphs, sorted."""
    names = {*weight_folders(plan.spec), *(file.path.partition("/")[0] for file in plan.shipped)}
    return {
        name: PlaceContent(
            {file.path.partition("/")[2]: file.sha256 for file in plan.shipped if file.path.partition("/")[0] == name},
            name not in plan.derived,
        )
        for name in sorted(names)
    }


def lock_prefixes(plans: Iterable[Plan]) -> dict[str, str]:
    """The prefix of the names of requirements locks, by the key of the export packages. It is empty for the first model's
    packages, which other models may share."""
    prefixes: dict[str, str] = {}
    for plan in plans:
        prefixes.setdefault(plan.export_packages, f"{plan.name}-" if prefixes else "")
    return prefixes


def published_trees(plan: Plan) -> tuple[Tree, ...]:
    """The trees of an image's published files, in the order of their layers."""
    return member_trees(plan.members) if plan.members else weight_trees(plan.shipped)


def member_trees(members: Iterable[Member]) -> tuple[Tree, ...]:
    """The published files of all models, in the order of their layers. Each layer is that of the model's own image, without
    files that an earlier layer has, and with renamed paths."""
    trees: list[Tree] = []
    seen: set[str] = set()
    for member in members:
        for tree in weight_trees(member.plan.shipped):
            files = tuple(file for file in placed_files(member, tree.files) if file.path not in seen)
            seen.update(file.path for file in files)
            trees += [make_tree(files)] if files else []
    return tuple(trees)


def placed_files(member: Member, files: Iterable[LockedFile]) -> tuple[LockedFile, ...]:
    """Published files by their paths in the image."""
    return tuple(sorted((replace(file, path=member.place(file.path)) for file in files), key=lambda file: file.path))
