"""Run the stages of a build on files of the store.

The output of a stage goes into the store. It is recorded under the stage's key together with the base image: the exported
folder, the files under ``/models`` except for weights with the stage's report, and the joined graphs of several models.
Compiled artifacts are not recorded here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from prebake.bake.errors import from_document
from prebake.checkpoints.store.store import Store
from prebake.docker.connection import Connection, stage_user
from prebake.docker.containers.container_spec import Bind, ContainerSpec
from prebake.docker.containers.containers import run_to_end
from prebake.documents.settings import REPORT
from prebake.documents.stage_error import StageError
from prebake.documents.stage_events import take_events
from prebake.errors import BuildFailed, SourceError
from prebake.io import subprocesses
from prebake.io.file_copy import link_or_copy
from prebake.io.log import Log
from prebake.oci.records.layer_records import FileRecord, Records
from prebake.plan.values import GPU_TARGETS, Plan
from prebake.workflow.layers.layer_store import known_files, store_tree

_OF_EXPORT = ("--exported", "/exported", "--models", "/models")


@dataclass(frozen=True)
class StageExecutor:
    """``runner`` is where stages run, ``context`` the folder of the build's context with ``bake/``."""

    runner: StageRunner
    context: Path
    store: Store
    records: Records
    log: Log

    def export(self, plan: Plan, key: str) -> tuple[FileRecord, ...]:
        """The exported folder's files. Raises the stage's own error, or BuildFailed."""
        known = known_files(self.records, self.store, key)
        if known is not None:
            self.log("export: reused, its inputs did not change")
            return known
        checkpoint = [self._bind(file.sha256, file.size, f"/checkpoint/{file.path}") for file in plan.files]
        arguments = ["export", "--image", plan.name, "--checkpoint", "/checkpoint"]
        with self._stage(arguments, checkpoint, {"HF_HUB_OFFLINE": "1"}) as out:
            files = store_tree(out, self.store)
        self.records.put_files(key, files)
        return files

    def compile(self, plan: Plan, exported: Sequence[FileRecord], key: str) -> tuple[FileRecord, ...]:
        """The files under /models but for the weights, by their paths in the image."""
        with self._stage(["compile", *_OF_EXPORT], self._exported_binds(plan, exported), {}) as out:
            files = store_tree(out, self.store)
        self.records.put_files(key, files)
        return select_image_files(files)

    def artifacts(self, plan: Plan, exported: Sequence[FileRecord], *, keep_all: bool) -> tuple[FileRecord, ...]:
        """The artifacts that this machine compiles for machines of its kind. They are always compiled, never reused."""
        arguments = ["artifacts", *_OF_EXPORT, *(["--keep-all"] if keep_all else [])]
        binds = self._exported_binds(plan, exported)
        with self._stage(arguments, binds, {}, gpus=-1 if plan.target in GPU_TARGETS else 0) as out:
            return store_tree(out, self.store)

    def _exported_binds(self, plan: Plan, exported: Sequence[FileRecord]) -> list[Bind]:
        """Graphs and cases as exported, weights at their places in the image."""
        binds = [self._bind(file.sha256, file.size, f"/models/{file.path}") for file in plan.shipped]
        for file in exported:
            derived = file.path.removeprefix("derived/")
            place = f"/exported/{file.path}" if derived == file.path else f"/models/{derived}"
            binds.append(self._bind(file.sha256, file.size, place))
        return binds

    def join(self, compiled: Mapping[str, Sequence[FileRecord]], key: str) -> tuple[FileRecord, ...]:
        """The files under /models of an image of several models but for the weights; ``compiled`` are those of each."""
        known = known_files(self.records, self.store, key)
        if known is not None:
            self.log("join: reused, its inputs did not change")
            return known
        binds = [
            self._bind(file.sha256, file.size, f"/members/{name}/{file.path.removeprefix('models/')}")
            for name, files in compiled.items()
            for file in files
        ]
        with self._stage(["join", "--members", "/members"], binds, {}) as out:
            files = store_tree(out / "models", self.store, "models")
        self.records.put_files(key, files)
        return files

    @contextmanager
    def _stage(
        self, arguments: Sequence[str], binds: Sequence[Bind], environment: Mapping[str, str], gpus: int = 0
    ) -> Iterator[Path]:
        """Run one stage. Yields the folder with its output, which exists as long as the block."""
        with self.store.folder() as folder:
            done = self.runner.run(
                StageRun(
                    folder=folder,
                    context=self.context,
                    arguments=arguments,
                    binds=binds,
                    environment=environment,
                    gpus=gpus,
                )
            )
            out = folder / "out"
            for event in take_events(out):
                self.log(f"{arguments[0]}: {event}")
            self._keep_log(arguments[0], done.output)
            if done.exit_code:
                error = from_document(StageError.load(out), done.exit_code)
                raise error or _failed(arguments[0], done.killed, done.output)
            yield out

    def _keep_log(self, stage: str, output: str) -> None:
        """Keep everything that the stage and its packages printed, for people to read."""
        path = self.context.parent / f"{stage}.log"
        path.write_text(output, encoding="utf-8")
        self.log(f"{stage}: the whole log is in {path}")

    def _bind(self, sha256: str, size: int, target: str) -> Bind:
        path = self.store.get(sha256, size)
        if path is None:
            raise SourceError(
                f"{target} ({sha256}) was removed from the store during the build.", next_action="build again"
            )
        return Bind(path, target)


def select_image_files(files: Sequence[FileRecord]) -> tuple[FileRecord, ...]:
    """The files of the compile stage that go into the image."""
    return tuple(file for file in files if file.path.startswith("models/"))


def read_stage_report(files: Sequence[FileRecord] | None, store: Store) -> Mapping[str, Any]:
    """The compile stage's report of each component; empty if this machine does not have it."""
    paths = [store.get(file.sha256, file.size) for file in files or () if file.path == REPORT]
    return dict(json.loads(paths[0].read_bytes())) if paths and paths[0] else {}


def derived_of(exported: Sequence[FileRecord], folder: str, place: str) -> list[FileRecord]:
    """The derived files of a weight folder, by their paths in an image that has it at ``place``."""
    prefix = f"derived/{folder}/"
    found = (file for file in exported if file.path.startswith(prefix))
    return [replace(file, path=f"models/{place}/{file.path.removeprefix(prefix)}") for file in found]


def _failed(stage: str, killed: bool, output: str) -> BuildFailed:
    why = "ran out of memory" if killed else "failed"
    tail = "\n".join(f"  {line}" for line in output.splitlines()[-30:])
    return BuildFailed(
        f"The {stage} stage {why}:\n{tail}",
        next_action="correct the image's export.py or its inputs, and build again",
        output=output.splitlines(),
    )


EXPORT = "/opt/export"
ON_DEVICE = f"/opt/prebake:{EXPORT}"
"""Folders of PYTHONPATH, in order: the ONNX Runtime of the image supports the device, that of the export packages does not."""
_MAX_STAGE_SECONDS = 86_400.0
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "ORT_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """One run of ``python -m prebake.bake``.

    folder: an empty folder for this run; the stage writes its output into ``out`` in it.
    context: the folder of the build's context, which has ``bake/``.
    arguments: the stage and its arguments. binds: its input files, below the folders that ``arguments`` name.
    gpus: the number of GPUs, -1 for all.
    """

    folder: Path
    context: Path
    arguments: Sequence[str]
    binds: Sequence[Bind]
    environment: Mapping[str, str]
    gpus: int = 0

    @property
    def roots(self) -> list[str]:
        """The stage's input folders."""
        return sorted({f"/{bind.target.split('/')[1]}" for bind in self.binds} | {"/checkpoint"})

    def host_path(self, path: str) -> Path:
        """The path on the host of one of the stage's folders or files."""
        return self.folder / path.lstrip("/")


@dataclass(frozen=True)
class StageResult:
    """How a stage ended. ``killed``: it ran out of memory. ``output``: what it printed on stdout and stderr."""

    exit_code: int
    killed: bool
    output: str


class StageRunner(Protocol):
    """Runs stages."""

    def run(self, stage: StageRun) -> StageResult: ...


@dataclass(frozen=True)
class ContainerRunner:
    """Runs stages in containers of ``image``, which has the stage's packages in the folders ``packages``. Input files are mounted
    read-only."""

    connection: Connection
    image: str
    log: Log
    packages: str = EXPORT

    def run(self, stage: StageRun) -> StageResult:
        self.log(f"{stage.arguments[0]}: in a container of {self.image}")
        container = replace(self.container(stage), user=stage_user(self.connection))
        end, output = run_to_end(self.connection, container, seconds=_MAX_STAGE_SECONDS)
        return StageResult(end.exit_code, end.killed, output)

    def container(self, stage: StageRun) -> ContainerSpec:
        """The container of a stage. The mount points of input files lie in folders of the host, since Docker creates them
        there."""
        mounts = [Bind(_make(stage.host_path(root)), root, read_only=False) for root in stage.roots]
        mounts += [Bind(stage.context / "bake", "/bake"), Bind(_make(stage.host_path("out")), "/out", read_only=False)]
        return ContainerSpec(
            self.image,
            command=["python3", *_words(stage.arguments, "/bake/settings.json", "/out")],
            entrypoint=[],
            environment={**_ENVIRONMENT, "PYTHONPATH": f"/bake:{self.packages}", "HOME": "/tmp", **stage.environment},  # noqa: S108
            binds=[*mounts, *stage.binds],
            tmpfs={"/tmp": "mode=1777,exec"},  # noqa: S108 (libraries are compiled and opened there)
            user=f"{os.getuid()}:{os.getgid()}",
            host_users=True,
            network="none",
            gpus=stage.gpus,
        )


@dataclass(frozen=True)
class HostRunner:
    """Runs stages with this process's Python, which must have the export packages. Input files are hard links if the file
    system allows it, else copies."""

    log: Log

    def run(self, stage: StageRun) -> StageResult:
        for root in (*stage.roots, "/out"):
            _make(stage.host_path(root))
        for bind in stage.binds:
            link_or_copy(bind.source, stage.host_path(bind.target))
        arguments = [str(stage.host_path(word)) if word in stage.roots else word for word in stage.arguments]
        settings, out = stage.context / "bake" / "settings.json", stage.host_path("out")
        environment = {**os.environ, **_ENVIRONMENT, "PYTHONPATH": str(stage.context / "bake"), **stage.environment}
        done = subprocesses.run(
            [sys.executable, *_words(arguments, str(settings), str(out))], env=environment, check=False, log=self.log
        )
        return StageResult(done.exit_code, False, done.stdout + done.stderr)


def _words(arguments: Sequence[str], settings: str, out: str) -> Iterator[str]:
    yield from ("-m", "prebake.bake", *arguments, "--settings", settings, "--out", out)


def _make(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder
