"""Where a stage runs: in a container of the export packages' image, or by this very Python where there is no Engine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from prebake import process
from prebake.engine.connection import Connection, stage_user
from prebake.engine.container_spec import Bind, ContainerSpec
from prebake.engine.containers import run_to_end
from prebake.workflow.steps import Tell

EXPORT = "/opt/export"
ON_DEVICE = f"/opt/prebake:{EXPORT}"
"""As Python looks for them: the image's own ONNX Runtime knows the device, that of the export packages does not."""
_DAY = 86_400.0
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "ORT_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True)
class StageRun:
    """One call of ``python -m prebake.bake``. ``folder`` is empty and its own, ``context`` has ``bake/``; ``binds`` are the
    files that it works on, below folders that ``arguments`` name, and what it writes goes to ``out`` in ``folder``.
    ``gpus`` is a number, -1 for all."""

    folder: Path
    context: Path
    arguments: Sequence[str]
    binds: Sequence[Bind]
    environment: Mapping[str, str]
    gpus: int = 0

    @property
    def roots(self) -> list[str]:
        return sorted({f"/{bind.target.split('/')[1]}" for bind in self.binds} | {"/checkpoint"})

    def place(self, path: str) -> Path:
        """The host's folder or file for one of the stage's."""
        return self.folder / path.lstrip("/")


@dataclass(frozen=True)
class StageDone:
    """``killed`` says that it ran out of memory."""

    exit_code: int
    killed: bool
    log: str


class StageRunner(Protocol):
    def run(self, stage: StageRun) -> StageDone: ...


@dataclass(frozen=True)
class InContainer:
    """``image`` has the stage's packages, in the folders ``packages``. Weights are mounted read-only."""

    connection: Connection
    image: str
    tell: Tell
    packages: str = EXPORT

    def run(self, stage: StageRun) -> StageDone:
        self.tell(f"{stage.arguments[0]}: in a container of {self.image}")
        container = replace(self.container(stage), user=stage_user(self.connection))
        ended, log = run_to_end(self.connection, container, seconds=_DAY)
        return StageDone(ended.exit_code, ended.killed, log)

    def container(self, stage: StageRun) -> ContainerSpec:
        """Mount points lie in folders of the host's, since Docker makes them there."""
        mounts = [Bind(_made(stage.place(root)), root, read_only=False) for root in stage.roots]
        mounts += [Bind(stage.context / "bake", "/bake"), Bind(_made(stage.place("out")), "/out", read_only=False)]
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
class OnHost:
    """By the Python that runs this, which has to have the export packages. Files are links where the disk allows it."""

    tell: Tell

    def run(self, stage: StageRun) -> StageDone:
        for root in (*stage.roots, "/out"):
            _made(stage.place(root))
        for bind in stage.binds:
            _link(bind.source, stage.place(bind.target))
        own = [str(stage.place(word)) if word in stage.roots else word for word in stage.arguments]
        settings, out = stage.context / "bake" / "settings.json", stage.place("out")
        environment = {**os.environ, **_ENVIRONMENT, "PYTHONPATH": str(stage.context / "bake"), **stage.environment}
        done = process.run(
            [sys.executable, *_words(own, str(settings), str(out))], env=environment, check=False, say=self.tell
        )
        return StageDone(done.exit_code, False, done.stdout + done.stderr)


def _words(arguments: Sequence[str], settings: str, out: str) -> Iterator[str]:
    yield from ("-m", "prebake.bake", *arguments, "--settings", settings, "--out", out)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder
