"""Clones of this project in folders of their own, and ``python build.py`` run in them."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from prebake.checkpoints.resolve import resolve
from prebake.checkpoints.sources.kinds import open_sources
from prebake.checkpoints.store.store import Store
from prebake.docker.connection import Connection
from prebake.plan.lock_check import expect_files
from prebake.spec.lock import Lock, LockedCheckpoint, LockedFile, parse_lock, render_lock
from prebake.spec.project import read_spec
from prebake.workflow.checkpoint.lock import lock_layers
from tests.support.commands.warm_command import PARTS, run_warm
from tests.support.repository import ROOT
from tests.support.silent_progress import silent_progress

TOY = ROOT / "tests" / "support" / "images" / "toy"
_PATIENCE = 120.0
# Variables of the person or the CI system that runs the tests, not of those who run the command in them.
_OTHERS = (
    *(
        "PYTHONPATH",
        "SOURCE_DATE_EPOCH",
        "NO_COLOR",
        "FORCE_COLOR",
        "DOCKER_DEFAULT_PLATFORM",
        "PREBAKE_ACCEPT_LICENSE",
    ),
    *("GITHUB_", "CI_"),
)


def wait_until(condition: Callable[[], object], what: str, seconds: float = _PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Ended:
    """How a command ended, with both outputs as they were written."""

    code: int
    stdout: str
    stderr: str

    def expect(self, code: int) -> Ended:
        assert self.code == code, f"ended with {self.code}, expected {code}\n{self.stdout}\n{self.stderr}"
        return self


class Child:
    """The command while it runs; its narration is read from a file."""

    def __init__(self, process: subprocess.Popen[str], narration: Path) -> None:
        self.process = process
        self._narration = narration

    @property
    def stderr(self) -> str:
        return self._narration.read_text(encoding="utf-8")

    def wait_for(self, text: str) -> Child:
        self._wait(lambda: text in self.stderr, repr(text))
        return self

    def wait_until(self, condition: Callable[[], object], what: str) -> Child:
        self._wait(condition, what)
        return self

    def end(self, seconds: float = 60) -> Ended:
        stdout, _ = self.process.communicate(timeout=seconds)
        return Ended(self.process.returncode, stdout, self.stderr)

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        def met() -> bool:
            code = self.process.poll()
            assert code is None or condition(), f"ended with {code} before {what}\n{self.stderr}"
            return bool(condition())

        wait_until(met, what)


@dataclass(frozen=True)
class Project:
    """A clone at ``root``; ``variables`` are added to the environment of every command."""

    root: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str, **variables: str) -> Ended:
        """Run ``python build.py …`` to its end. If the clone's code is unchanged, this is a fork of a process that has imported
        the command, since importing takes longer than most commands."""
        environment = self.environment(**variables)
        if (ended := run_warm(self.root, words, environment)) is not None:
            return Ended(*ended)
        with self.started(*words, **variables) as child:
            return child.end(600)

    @contextmanager
    def started(self, *words: str, **variables: str) -> Iterator[Child]:
        """``python build.py …`` while the block lasts; killed where it is left early."""
        narration = self.root / f"narration-{uuid.uuid4().hex}"
        with narration.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "build.py", *words],
                cwd=self.root,
                env=self.environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        try:
            yield Child(process, narration)
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def environment(self, **variables: str) -> dict[str, str]:
        """This process's own without what a CI system says of its run, and with a folder for temporary files in which
        nothing may be left. An image is started once and its answer compared; a test about figures asks for timed starts."""
        temporary = self.root / "temporary"
        temporary.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        return {**kept, "TMPDIR": str(temporary), "PREBAKE_STARTS": "0", **self.variables, **variables}

    def report(self, model: str) -> dict[str, Any]:
        return dict(json.loads((self.root / "build" / model / "report.json").read_text()))

    def half_written(self) -> list[str]:
        """What an interrupted command may not leave: files and folders in the writing, temporary files."""
        writing = [path for path in self.root.rglob(".*.writing*") if "context" not in path.parent.parts]
        return sorted(str(path) for path in (*writing, *(self.root / "temporary").iterdir()))


@dataclass(frozen=True)
class Built:
    """An image that the real command built from a clone. ``tag`` is its name at the Engine."""

    project: Project
    model: str
    tag: str
    ended: Ended
    report: Mapping[str, Any]

    def digests(self, *kinds: str) -> dict[str, str]:
        """The diff ids of the layers of these kinds, by name."""
        return {layer["name"]: layer["digest"] for layer in self.report["layers"] if layer["kind"] in kinds}


def clone(root: Path, *images: str, variables: Mapping[str, str] | None = None) -> Project:
    """Copy the checkout's code to ``root``, and the folders of these images; ``toy`` is an image of the tests. The bytecode is
    copied, too, so that no command in the clone compiles the code again."""
    _compile_library()
    skip, being_written = shutil.ignore_patterns("__pycache__"), shutil.ignore_patterns("*.pyc.*")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            # The copies keep their modification times, which Python compares with those that the bytecode names.
            shutil.copytree(source, root / part, ignore=being_written)
        else:
            root.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, root / part)
    for image in images:
        shutil.copytree(TOY if image == "toy" else ROOT / "images" / image, root / "images" / image, ignore=skip)
    if "toy" in images:
        _furnish_toy(root)
    return Project(root, variables or {})


@cache
def _compile_library() -> None:
    compileall.compile_dir(ROOT / "prebake", quiet=2)


def reach(connection: Connection) -> dict[str, str]:
    """The environment in which the command finds this very Engine, whatever PREBAKE_CACHE says."""
    config = {"DOCKER_CONFIG": str(connection.config)} if connection.config else {}
    path = f"{connection.cli.parent}{os.pathsep}{os.environ['PATH']}"
    return {**config, "DOCKER_HOST": connection.host, "PATH": path}


def change_spec(project: Project, change: Callable[[dict[str, Any]], object], image: str = "toy") -> None:
    """Rewrite image.yaml after ``change`` has had its hands on it."""
    path = project.root / "images" / image / "image.yaml"
    document = yaml.safe_load(path.read_text())
    change(document)
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def read_lock(project: Project, image: str = "toy") -> Lock:
    return parse_lock(lock_path(project, image).read_text(), f"images/{image}/weights.lock")


def lock_path(project: Project, image: str = "toy") -> Path:
    return project.root / "images" / image / "weights.lock"


def pin_unseen(project: Project, image: str, checkpoint: str, size: int = 1000) -> None:
    """Lock a checkpoint that nobody here has: every file that image.yaml names, under made-up sizes and digests."""
    spec = read_spec(project.root, image)
    license = spec.checkpoints[checkpoint].license.id
    files = tuple(
        LockedFile(
            path=path,
            source=file.source,
            revision="f" * 40 if file.revision is None else file.revision,
            locator=path if file.locator is None else file.locator,
            size=size,
            sha256=f"{n:064x}",
            license=license,
            ship=file.ship,
        )
        for n, (path, file) in enumerate(sorted(expect_files(spec.checkpoints[checkpoint]).items()))
    )
    before = read_lock(project, image)
    checkpoints = {**before.checkpoints, checkpoint: LockedCheckpoint(license, files)}
    lock_path(project, image).write_text(render_lock(Lock(before.base, checkpoints)))


def change_weights(project: Project, seed: int = 8) -> None:
    """Other weights of the toy, pinned."""
    shutil.rmtree(project.root / "checkpoint")
    _write_weights(project.root / "checkpoint", seed)
    pin_weights(project.root)


def _furnish_toy(root: Path) -> None:
    """Its requirements are minilm's, and its base too, so that its images share those layers; its weights are new."""
    shutil.copytree(ROOT / "images" / "minilm" / "requirements", root / "images" / "toy" / "requirements")
    _write_weights(root / "checkpoint", seed=7)
    pin_weights(root)


def add_pair(project: Project) -> None:
    """A twin of the toy with weights of its own under the same names, and ``pair``: an image of both."""
    images = project.root / "images"
    shutil.copytree(images / "toy", images / "twin")
    _write_weights(project.root / "twins", seed=9)
    change_spec(project, _become_twin, "twin")
    pin_weights(project.root, "twin")
    shutil.copytree(images / "toy" / "requirements", images / "pair" / "requirements")
    document = {"schema": 2, "name": "pair", "title": "Pair", "models": {"toy": {}, "twin": {"checkpoint": "small"}}}
    (images / "pair" / "image.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def _become_twin(document: dict[str, Any]) -> None:
    document.update(name="twin", limits={"body_bytes": 4096, "queue": 1, "seconds": 20})
    document["checkpoints"]["small"]["sources"][0]["folder"] = "twins"


def pin_weights(root: Path, image: str = "toy", name: str = "small") -> None:
    """Lock an image's weights as they are, on the base that the images of this project stand on."""
    base = parse_lock((ROOT / "images" / "minilm" / "weights.lock").read_text(), "images/minilm/weights.lock").base
    checkpoint = read_spec(root, image).checkpoints[name]
    store, sources = Store(root / "scratch"), open_sources(root, image)
    resolved = resolve(checkpoint, store, sources, silent_progress())
    locked = replace(resolved, layers=lock_layers(read_spec(root, image), resolved, store, sources))
    shutil.rmtree(root / "scratch")
    (root / "images" / image / "weights.lock").write_text(render_lock(Lock(base, {name: locked})))


def _write_weights(folder: Path, seed: int) -> None:
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(seed)
    first = {"weight": torch.randn(64, 8, generator=random) * 0.1, "bias": torch.randn(64, generator=random)}
    second = {"weight": torch.randn(8, 64, generator=random) * 0.1, "bias": torch.randn(8, generator=random)}
    (folder / "first").mkdir(parents=True)
    save_file(first, folder / "first" / "model.safetensors")
    torch.save(second, folder / "second.pth")
