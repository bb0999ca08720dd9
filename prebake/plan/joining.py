"""One plan of several: the union of their layers, a stage that puts their graphs and manifests together, one server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from prebake.bake.join_settings import MEMBERS, JoinSettings
from prebake.plan.context import EXPORT_LOCKS, prefixed, stage_scripts
from prebake.plan.keys import serving_keys, stages
from prebake.plan.layers import (
    code_layer,
    derived_layer,
    graphs_layer,
    packages_layer,
    published_layers,
    sources_digest,
)
from prebake.plan.places import lock_prefixes, member_trees, place_members, placed_files
from prebake.plan.values import ContextFile, Layer, Member, Options, Plan, digest, weight_folders
from prebake.spec.image import Target
from prebake.spec.lock import LockedFile, LockedLayer
from prebake.spec.project import Project, SourceFile


def join_plans(project: Project, options: Options, plans: Sequence[Plan]) -> Plan:
    """``plans`` are the models', each as if it were alone, on one base."""
    spec, members = project.spec, place_members(plans)
    settings = JoinSettings(spec.name, options.target, {member.name: member.places for member in members}).to_json()
    code = prefixed("bake/", project.bake)
    app = prefixed("app/", tuple(_served(project)))
    keys = {**serving_keys(project, plans[0].base), **_keys(project, plans, settings, code)}
    return Plan(
        spec=spec,
        target=options.target,
        checkpoint=",".join(f"{plan.name}/{plan.checkpoint}" for plan in plans),
        tag=options.tag or f"prebake/{spec.name}:{options.target}",
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
        context=_context(project, options.target, members, (*code, *app), settings),
        naive=False,
        room={place: sum(plan.room[place] for plan in plans) for place in plans[0].room},
        members=members,
        metadata=options.metadata,
    )


def _served(project: Project) -> Iterator[SourceFile]:
    """The server once, each model's own code, and the notices of all."""
    yield from (*project.entrypoints, *project.notices)
    for name, member in project.members.items():
        yield from member.serve
        yield from (SourceFile(f"notices/{name}/{file.path.partition('/')[2]}", file.data) for file in member.notices)


def _keys(project: Project, plans: Iterable[Plan], settings: bytes, code: tuple[SourceFile, ...]) -> dict[str, str]:
    join = {"code": sources_digest(code), "settings": settings.decode(), "stage": stages(project, "join")}
    return {
        "export": digest({plan.name: plan.export_key for plan in plans}),
        "compile": digest({"join": join, "models": {plan.name: plan.compile_key for plan in plans}}),
    }


def _files(members: Sequence[Member]) -> Iterator[LockedFile]:
    """Published files once, where they lie in the image; then what is only made use of, each model's by itself."""
    published = tuple(file for tree in member_trees(members) for file in tree.files)
    yield from published
    for member in members:
        shipped = set(member.plan.shipped)
        yield from placed_files(member, (file for file in member.plan.files if file not in shipped))


def _locked(project: Project, plans: Iterable[Plan]) -> list[LockedLayer]:
    locks = ((project.members[plan.name].lock, plan.checkpoint) for plan in plans)
    return [layer for lock, name in locks if lock for layer in lock.checkpoints[name].layers]


def _derived(members: Iterable[Member]) -> Iterator[Layer]:
    for member in members:
        for folder in weight_folders(member.plan.spec):
            if folder in member.plan.derived:
                yield derived_layer(member.place(folder), member.plan.export_key)


def _context(
    project: Project, target: Target, members: Sequence[Member], sources: Iterable[SourceFile], settings: bytes
) -> tuple[ContextFile, ...]:
    """At its usual place what the whole image is made of; below ``members/NAME`` what a model's own stages run."""
    lock = f"requirements/{target}.txt"
    files = [ContextFile(file.path, file.data) for file in sources]
    files.append(ContextFile("bake/settings.json", settings))
    files.append(ContextFile(lock, project.requirements[target].encode()))
    files += stage_scripts(project)
    files += _export_locks([member.plan for member in members])
    for member in members:
        own = (file for file in member.plan.context if file.path.startswith("bake/"))
        files += [replace(file, path=f"{MEMBERS}/{member.name}/{file.path}") for file in own]
    return tuple(sorted(files, key=lambda file: file.path))


def _export_locks(plans: Sequence[Plan]) -> Iterator[ContextFile]:
    """Each set of them once: models that bring none of their own have the same."""
    first = {plan.export_packages: plan for plan in reversed(plans)}
    names = {f"requirements/{name}.txt" for name in EXPORT_LOCKS}
    for key, prefix in lock_prefixes(plans).items():
        for file in first[key].context:
            if file.path in names:
                yield replace(file, path=file.path.replace("/", f"/{prefix}"))
