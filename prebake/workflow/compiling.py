"""``prebake compile``: what only a machine with the device can make, made there and kept where builds look for it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from prebake.bake.artifact_file import NAME, ArtifactFile
from prebake.bake.settings import REPORT
from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.progress import Progress, terminal_progress
from prebake.checkpoints.store import Store, default_root
from prebake.engine.connection import find_engine
from prebake.oci.blobs import Blob, Descriptor
from prebake.oci.push import short_name
from prebake.oci.records import FileRecord, Records
from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from prebake.oci.shared_artifacts import publish_artifact
from prebake.plan.compiled import lookup_key
from prebake.plan.making import check_licence, make_plan
from prebake.plan.values import Options, Plan, digest
from prebake.render.dockerfile import render_context
from prebake.sizes import show_bytes
from prebake.spec.project import Project, read_project
from prebake.workflow.baking import Oven
from prebake.workflow.build import BuildOrder, Job
from prebake.workflow.context import write_context
from prebake.workflow.library import Library
from prebake.workflow.parts import Parts
from prebake.workflow.running import OnHost
from prebake.workflow.sources import open_sources
from prebake.workflow.steps import Steps, Tell, only_one
from prebake.workflow.transfers import showing

Compiled = Iterator[tuple[Plan, Sequence[FileRecord]]]
"""What the artifacts stage left of each model."""


@dataclass(frozen=True)
class CompileOrder:
    """What the command line asked for. ``push`` are references, of which the repositories get what was compiled; ``keep_all``:
    also what does not pay its bytes; without ``engine`` the host's own Python compiles."""

    root: Path
    model: str
    options: Options = field(default_factory=Options)
    base: str = "auto"
    accepted_licences: Collection[str] = ()
    push: tuple[str, ...] = ()
    engine: bool = True
    keep_all: bool = False


def compile_model(order: CompileOrder, tell: Tell) -> Mapping[str, Any]:
    """Compile for this machine; what was kept, what was left out, and why."""
    project = read_project(order.root, order.model)
    plan = make_plan(project, order.options)
    check_licence(plan, order.accepted_licences)
    with only_one(_folder(order), plan.name), ExitStack() as held:
        store = Store(default_root())
        held.enter_context(store.in_use())
        repositories = [_open(reference, tell) for reference in order.push]
        for repository in repositories:
            held.enter_context(closing(repository))
        parts = Parts(store, Library(Records(store.root), repositories))
        compile_all = _in_containers if order.engine else _on_host
        shelf = Shelf(parts, repositories, tell)
        made = [
            {"model": model.name, **told}
            for model, files in compile_all(order, project, plan, parts, tell)
            for told in shelf.keep_under(lookup_key(model), files)
        ]
    return {"image": plan.name, "target": plan.target, "artifacts": made}


def _in_containers(order: CompileOrder, project: Project, plan: Plan, parts: Parts, tell: Tell) -> Compiled:
    asked = BuildOrder(order.root, order.model, order.options, order.base)
    maker = Job(asked, project, plan, _folder(order), find_engine(), parts, Steps(tell)).maker()
    for each in maker.members or (maker,):
        yield each.plan, each.artifacts(keep_all=order.keep_all)


def _on_host(order: CompileOrder, project: Project, plan: Plan, parts: Parts, tell: Tell) -> Compiled:
    for model in plan.models:
        with open_sources(order.root, model.name) as sources:
            fetch(model.files, parts.store, sources, terminal_progress())
        small = [file for file in render_context(model, project.templates) if file.sha256 is None]
        context = write_context(_folder(order) / "host" / model.name / "context", small, parts.store)
        oven = Oven(OnHost(tell), context, parts.store, parts.library.records, tell)
        packages = sorted(f"{each.name}=={each.version}" for each in distributions())
        exported = oven.export(model, digest({"exported by": packages, "key": model.export_key}))
        yield model, oven.artifacts(model, exported, keep_all=order.keep_all)


def _folder(order: CompileOrder) -> Path:
    return order.root / "build" / order.model


def compiled_text(report: Mapping[str, Any]) -> str:
    """For a person."""
    lines = [f"{report['image']} for {report['target']}"]
    for each in report["artifacts"]:
        machine = ", ".join(f"{name} {value}" for name, value in sorted(each["for"].items()))
        name, size = f"{each['rung']} {each['key'][:12]}", show_bytes(each["bytes"])
        lines.append(f"  {each['model']}/{each['component']}: {name}, {size}, for {machine}")
        choice = each["choice"]
        own, without = (choice["ways"][choice[way]] for way in ("way", "without"))
        lines.append(
            f"    first answer after {own['open'] + own['first']:.4f} s, without it "
            f"{without['open'] + without['first']:.4f} s; later {own['later']:.4f} s, without it {without['later']:.4f} s"
        )
        pull = f"its pull takes {own['pull']:.4f} s at 125 MB/s"
        kept = "kept" if each["kept"] else "left out (--keep-all keeps it)"
        saved = without["seconds"] - own["seconds"]
        lines.append(f"    saves {saved:.4f} s until ten answers, {pull}: {kept}")
    return "\n".join(lines)


@dataclass(frozen=True)
class Shelf:
    """Where artifacts are kept: the store, and these repositories."""

    parts: Parts
    repositories: Sequence[Repository]
    tell: Tell

    def keep_under(self, lookup: str, files: Sequence[FileRecord]) -> list[dict[str, Any]]:
        """Each artifact as the stage left them; what the stage says of each."""
        place = self.parts.store.place
        by_path = {file.path: file for file in files}
        for file in files:
            if file.path.endswith(f"/{NAME}"):
                artifact = ArtifactFile.from_json(place(file.sha256).read_bytes())
                own = tuple(by_path[path] for path in sorted(artifact.files))
                self._keep(lookup, artifact, FileRecord(NAME, file.sha256, file.size), own)
        report = json.loads(place(by_path[REPORT].sha256).read_bytes())
        return list(report["artifacts"])

    def _keep(
        self, lookup: str, artifact: ArtifactFile, description: FileRecord, files: tuple[FileRecord, ...]
    ) -> None:
        self.parts.library.records.list_files(lookup, artifact.key, (description, *files))
        record = self.parts.of_files([FileRecord(f"models/{file.path}", file.sha256, file.size) for file in files])
        layer = self.parts.layer(record, artifact.label)
        blob = Blob(Descriptor(record.media_type, record.digest, record.size), layer.blob.content)
        for repository in self.repositories:
            with showing("push") as progress:
                passed = partial(_report, progress, blob)
                tag = publish_artifact(repository, lookup, artifact.key, artifact.to_json(), record, blob, passed)
            self.tell(f"push: {repository.reference.name}:{tag}")


def _report(progress: Progress, blob: Blob, done: int) -> None:
    progress.report(short_name(blob.digest), done, blob.size)


def _open(reference: str, tell: Tell) -> Repository:
    return Repository(parse_reference(reference), say=tell, pushing=True)
