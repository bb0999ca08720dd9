"""``prebake compile``: compile artifacts on a machine with the device, and keep them where builds look them up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.progress import Progress, terminal_progress
from prebake.checkpoints.store.store import Store, default_root
from prebake.docker.connection import find_engine
from prebake.documents.artifact import ARTIFACT_FILE, ArtifactFile
from prebake.documents.canonical import digest_json
from prebake.documents.settings import REPORT
from prebake.io.byte_sizes import format_bytes
from prebake.io.file_lock import lock_build_folder
from prebake.io.log import Log
from prebake.io.steps import Steps
from prebake.oci.blobs.blobs import Blob, Descriptor
from prebake.oci.records.layer_records import FileRecord, Records
from prebake.oci.records.registry_artifacts import publish_artifact
from prebake.oci.reference import parse_reference
from prebake.oci.registry.push import short_digest
from prebake.oci.registry.repository import Repository
from prebake.plan.artifact_layers import lookup_key
from prebake.plan.planner import check_license, make_plan
from prebake.plan.values import Plan
from prebake.render.dockerfile import render_context
from prebake.spec.project import Project, read_project
from prebake.workflow.checkpoint.sources import open_sources
from prebake.workflow.layers.cache_lookup import BuildCache
from prebake.workflow.layers.layer_store import LayerStore
from prebake.workflow.layers.transfer_progress import show_progress
from prebake.workflow.pipeline.resolution import find_base, resolve
from prebake.workflow.pipeline.step_planner import plan_artifacts
from prebake.workflow.pipeline.step_runner import Workspace, run
from prebake.workflow.requests import CompileRequest
from prebake.workflow.stages.context import write_context
from prebake.workflow.stages.executor import HostRunner, StageExecutor

CompiledFiles = Iterator[tuple[Plan, Sequence[FileRecord]]]
"""The files that the artifacts stage wrote, by model."""


def compile_model(order: CompileRequest, log: Log) -> Mapping[str, Any]:
    """Compile for this machine; the report says which artifacts were kept or left out, and why."""
    project = read_project(order.root, order.model)
    plan = make_plan(project, order.options)
    check_license(plan, order.accepted_licenses)
    with lock_build_folder(_folder(order), plan.name), ExitStack() as opened:
        store = Store(default_root())
        opened.enter_context(store.in_use())
        repositories = [_open(reference, log) for reference in order.push]
        for repository in repositories:
            opened.enter_context(closing(repository))
        layers = LayerStore(store, BuildCache(Records(store.root), repositories))
        compile_all = _in_containers if order.engine else _on_host
        publisher = ArtifactPublisher(layers, repositories, log)
        made = [
            {"model": model.name, **report}
            for model, files in compile_all(order, project, plan, layers, log)
            for report in publisher.keep_under(lookup_key(model), files)
        ]
    return {"image": plan.name, "target": plan.target, "artifacts": made}


def _in_containers(order: CompileRequest, project: Project, plan: Plan, layers: LayerStore, log: Log) -> CompiledFiles:
    """In the stage images of the Engine, by the same steps as a build."""
    connection = find_engine()
    workspace = Workspace(
        project=project,
        folder=_folder(order),
        connection=connection,
        layers=layers,
        steps=Steps(log),
        base=order.base,
        keep_all=order.keep_all,
    )
    for model in plan.models:
        produced = None
        while produced is None or model.name not in produced.artifacts:
            resolution = resolve(plan, {}, layers, connection, find_base(plan, connection, order.base))
            produced = run(plan_artifacts(resolution, model.name), resolution.base, workspace)
        yield model, produced.artifacts[model.name]


def _on_host(order: CompileRequest, project: Project, plan: Plan, layers: LayerStore, log: Log) -> CompiledFiles:
    for model in plan.models:
        with open_sources(order.root, model.name) as sources:
            fetch(model.files, layers.store, sources, terminal_progress())
        small = [file for file in render_context(model, project.templates) if file.sha256 is None]
        context = write_context(_folder(order) / "host" / model.name / "context", small, layers.store)
        executor = StageExecutor(
            runner=HostRunner(log), context=context, store=layers.store, records=layers.cache.records, log=log
        )
        packages = sorted(f"{package.name}=={package.version}" for package in distributions())
        exported = executor.export(model, digest_json({"exported by": packages, "key": model.export_key}))
        yield model, executor.artifacts(model, exported, keep_all=order.keep_all)


def _folder(order: CompileRequest) -> Path:
    return order.root / "build" / order.model


def compiled_text(report: Mapping[str, Any]) -> str:
    """The report as text for a person."""
    lines = [f"{report['image']} for {report['target']}"]
    for artifact in report["artifacts"]:
        machine = ", ".join(f"{name} {value}" for name, value in sorted(artifact["requires"].items()))
        name, size = f"{artifact['name']} {artifact['key'][:12]}", format_bytes(artifact["bytes"])
        lines.append(f"  {artifact['model']}/{artifact['component']}: {name}, {size}, for {machine}")
        choice = artifact["choice"]
        own, without = (choice["candidates"][choice[key]] for key in ("candidate", "baseline"))
        lines.append(
            f"    first answer after {own['open'] + own['first']:.4f} s ({without['open'] + without['first']:.4f} s without "
            f"it); each later answer {own['later']:.4f} s ({without['later']:.4f} s without it)"
        )
        pull = f"its pull takes {own['pull']:.4f} s at 125 MB/s"
        kept = "kept" if artifact["kept"] else "not kept (--keep-all keeps it)"
        saved = without["seconds"] - own["seconds"]
        lines.append(f"    saves {saved:.4f} s until ten answers, {pull}: {kept}")
    return "\n".join(lines)


@dataclass(frozen=True)
class ArtifactPublisher:
    """Keeps artifacts in the store, and pushes them to these repositories."""

    layers: LayerStore
    repositories: Sequence[Repository]
    log: Log

    def keep_under(self, lookup: str, files: Sequence[FileRecord]) -> list[dict[str, Any]]:
        """Keep and push each artifact among the stage's files; returns the stage's report of each."""
        place = self.layers.store.place
        by_path = {file.path: file for file in files}
        for file in files:
            if file.path.endswith(f"/{ARTIFACT_FILE}"):
                artifact = ArtifactFile.from_json(place(file.sha256).read_bytes())
                own = tuple(by_path[path] for path in sorted(artifact.files))
                self._keep(lookup, artifact, FileRecord(ARTIFACT_FILE, file.sha256, file.size), own)
        report = json.loads(place(by_path[REPORT].sha256).read_bytes())
        return list(report["artifacts"])

    def _keep(
        self, lookup: str, artifact: ArtifactFile, description: FileRecord, files: tuple[FileRecord, ...]
    ) -> None:
        self.layers.cache.records.list_files(lookup, artifact.key, (description, *files))
        record = self.layers.record_files([FileRecord(f"models/{file.path}", file.sha256, file.size) for file in files])
        layer = self.layers.layer(record, artifact.label)
        blob = Blob(Descriptor(record.media_type, record.digest, record.size), layer.blob.content)
        for repository in self.repositories:
            with show_progress("push") as progress:
                passed = partial(_report, progress, blob)
                tag = publish_artifact(repository, lookup, artifact.key, artifact.to_json(), record, blob, passed)
            self.log(f"push: {repository.reference.name}:{tag}")


def _report(progress: Progress, blob: Blob, done: int) -> None:
    progress.report(short_digest(blob.digest), done, blob.size)


def _open(reference: str, log: Log) -> Repository:
    return Repository(parse_reference(reference), log=log, pushing=True)
