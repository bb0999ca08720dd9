"""Export and compile, with weights as the store has them.

What a stage leaves goes into the store, on record under the stage's key: the exported folder under the export key, what
lies under ``/models`` beside the weights under the compile key, and the stage's report with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prebake.bake.errors import read_error
from prebake.bake.settings import REPORT
from prebake.checkpoints.store import Store
from prebake.engine.container_spec import Bind
from prebake.errors import BuildFailed, SourceError
from prebake.oci.records import FileRecord, Records
from prebake.plan.values import Plan
from prebake.workflow.parts import keep_tree
from prebake.workflow.running import StageRun, StageRunner
from prebake.workflow.steps import Tell

_SAID = re.compile(r"[\w-]+: (exported|compiled|artifact \S+ (kept|left out))[,:] ")
_OF_EXPORT = ("--exported", "/exported", "--models", "/models")
GPU_TARGETS = ("cuda", "tensorrt")
"""Those that are compiled for on a GPU."""


@dataclass(frozen=True)
class Oven:
    """``runner`` is where stages run, ``context`` the folder of the build's context with ``bake/``."""

    runner: StageRunner
    context: Path
    store: Store
    records: Records
    tell: Tell

    def export(self, plan: Plan, key: str) -> tuple[FileRecord, ...]:
        """The exported folder's files. Raises the stage's own error, or BuildFailed."""
        known = known_files(self.records, self.store, key)
        if known is not None:
            self.tell("export: known, nothing that it is made of changed")
            return known
        checkpoint = [self._bind(file.sha256, file.size, f"/checkpoint/{file.path}") for file in plan.files]
        arguments = ["export", "--image", plan.name, "--checkpoint", "/checkpoint"]
        with self._stage(arguments, checkpoint, {"HF_HUB_OFFLINE": "1"}) as out:
            files = keep_tree(out, self.store)
        self.records.put_files(key, files)
        return files

    def compile(self, plan: Plan, exported: Sequence[FileRecord], key: str) -> tuple[FileRecord, ...]:
        """The files under /models but for the weights, by their paths in the image."""
        with self._stage(["compile", *_OF_EXPORT], self._exported_binds(plan, exported), {}) as out:
            files = keep_tree(out, self.store)
        self.records.put_files(key, files)
        return of_models(files)

    def artifacts(self, plan: Plan, exported: Sequence[FileRecord], *, keep_all: bool) -> tuple[FileRecord, ...]:
        """What this machine compiles for itself and its like; nothing is on record that could save the work."""
        arguments = ["artifacts", *_OF_EXPORT, *(["--keep-all"] if keep_all else [])]
        binds = self._exported_binds(plan, exported)
        with self._stage(arguments, binds, {}, gpus=-1 if plan.target in GPU_TARGETS else 0) as out:
            return keep_tree(out, self.store)

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
            self.tell("join: known, nothing that it is made of changed")
            return known
        binds = [
            self._bind(file.sha256, file.size, f"/members/{name}/{file.path.removeprefix('models/')}")
            for name, files in compiled.items()
            for file in files
        ]
        with self._stage(["join", "--members", "/members"], binds, {}) as out:
            files = keep_tree(out / "models", self.store, "models")
        self.records.put_files(key, files)
        return files

    @contextmanager
    def _stage(
        self, arguments: Sequence[str], binds: Sequence[Bind], environment: Mapping[str, str], gpus: int = 0
    ) -> Iterator[Path]:
        """Run one stage; what it wrote, until the block is left."""
        with self.store.folder() as folder:
            done = self.runner.run(StageRun(folder, self.context, arguments, binds, environment, gpus))
            self._keep_log(arguments[0], done.log)
            if done.exit_code:
                raise read_error(done.log.splitlines(), done.exit_code) or _failed(arguments[0], done.killed, done.log)
            yield folder / "out"

    def _keep_log(self, stage: str, log: str) -> None:
        """Packages print much; what the stage itself says of each component is narrated, the rest can be read."""
        path = self.context.parent / f"{stage}.log"
        path.write_text(log, encoding="utf-8")
        for line in log.splitlines():
            if _SAID.match(line):
                self.tell(f"{stage}: {line}")
        self.tell(f"{stage}: its whole log is {path}")

    def _bind(self, sha256: str, size: int, target: str) -> Bind:
        path = self.store.get(sha256, size)
        if path is None:
            raise SourceError(f"{target} ({sha256}) left the store meanwhile.", next_action="build again")
        return Bind(path, target)


def known_files(records: Records, store: Store, key: str) -> tuple[FileRecord, ...] | None:
    """What is on record under a key, where the store still has all of it."""
    known = records.files(key)
    has = known is not None and all(store.get(file.sha256, file.size) is not None for file in known)
    return known if has else None


def of_models(files: Sequence[FileRecord]) -> tuple[FileRecord, ...]:
    """What the image holds of what the compile stage left."""
    return tuple(file for file in files if file.path.startswith("models/"))


def read_stage_report(files: Sequence[FileRecord] | None, store: Store) -> Mapping[str, Any]:
    """What the compile stage says of each component, from what it left; empty where this machine has not got it."""
    paths = [store.get(file.sha256, file.size) for file in files or () if file.path == REPORT]
    return dict(json.loads(paths[0].read_bytes())) if paths and paths[0] else {}


def derived_of(exported: Sequence[FileRecord], folder: str, place: str) -> list[FileRecord]:
    """The derived files of a weight folder, by their paths in an image that has it at ``place``."""
    prefix = f"derived/{folder}/"
    found = (file for file in exported if file.path.startswith(prefix))
    return [replace(file, path=f"models/{place}/{file.path.removeprefix(prefix)}") for file in found]


def _failed(stage: str, killed: bool, log: str) -> BuildFailed:
    why = "ran out of memory" if killed else "failed"
    tail = "\n".join(f"  {line}" for line in log.splitlines()[-30:])
    return BuildFailed(
        f"The {stage} stage {why}:\n{tail}",
        next_action="mend the image's export.py, or what it reads, and build again",
        output=log.splitlines(),
    )
