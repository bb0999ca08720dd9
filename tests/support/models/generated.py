"""An image that ``prebake init`` wrote into a clone, baked on this machine and answering without a container."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from prebake.bake.graphs.sessions import open_session
from prebake.documents.component import SessionSettings
from prebake.documents.settings import StageSettings
from prebake.plan.stage_settings import TENSOR_SERVER, make_settings
from prebake.spec.project import read_project
from tests.support.bake.host_bake import bake_folder
from tests.support.commands.projects import Project
from tests.support.repository import ROOT

Array = np.ndarray[Any, Any]


@dataclass
class Opened:
    """A graph of a baked folder."""

    graph: Path

    def __post_init__(self) -> None:
        self._session = open_session(self.graph, SessionSettings(), ["CPUExecutionProvider"])

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        names = [each.name for each in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))


@dataclass
class Baked:
    """What the server gives a model, over a baked folder; and the model's own answers."""

    image: str
    folder: Path
    sessions: dict[str, Opened] = field(default_factory=dict)

    def session(self, name: str) -> Opened:
        if name not in self.sessions:
            graph = json.loads((self.folder / "manifest.json").read_bytes())["components"][name]["graph"]
            self.sessions[name] = Opened(self.folder / graph)
        return self.sessions[name]

    def path(self, name: str) -> Path:
        return self.folder / name

    def answer(self, form: Mapping[str, object]) -> Any:
        """The JSON that the served module gives for a form, whose defaults are filled in as the server does."""
        own = importlib.util.find_spec(f"images.{self.image}.model") is not None
        model = importlib.import_module(f"images.{self.image}.model" if own else TENSOR_SERVER).create(self)
        defaults = {field.name: field.default for field in model.fields if field.default is not None}
        answer = model.generate({**defaults, **form}, lambda: False)
        assert answer.media_type == "application/json"
        return json.loads(answer.body)

    def warmup(self) -> tuple[dict[str, object], Any, float]:
        """The warm-up request with its files, the framework's answer to it and its tolerance."""
        said = json.loads((self.folder / "manifest.json").read_bytes())["warmup"]
        fields = json.loads((self.folder / said["request"]).read_bytes())["fields"]
        form = {
            name: (self.folder / value["file"]).read_bytes() if isinstance(value, dict) else value
            for name, value in fields.items()
        }
        return form, json.loads((self.folder / said["answer"]).read_bytes()), said["tolerance"]


def bake(project: Project, image: str, out: Path) -> Baked:
    """Both stages over what the image's lock names, with the settings that its plan has."""
    described = read_project(project.root, image)
    assert described.lock is not None
    files = described.lock.checkpoints["local"].files
    settings: StageSettings = make_settings(described, "cpu", "local", files)
    published = project.root / json.loads(described.spec.checkpoints["local"].sources[0].model_dump_json())["folder"]
    for file in files:
        target = out / "checkpoint" / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(published / file.locator, target)
    with importable(project.root):
        bake_folder(image, out / "checkpoint", settings, out / "models")
    return Baked(image, out / "models")


def begin(project: Project, name: str, write: Callable[[Path], object], out: Path, *words: str) -> Baked:
    """Init, lint and bake the image of a checkpoint that ``write(folder)`` writes; its warm-up is the framework's."""
    write(project.root / "published" / name)
    project.run("init", name, "--from", f"published/{name}", *words).expect(0)
    for check in (("check",), ("format", "--check")):
        command = [sys.executable, "-m", "ruff", *check, "--config", str(ROOT / "pyproject.toml"), f"images/{name}"]
        ended = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    baked = bake(project, name, out)
    form, wanted, tolerance = baked.warmup()
    assert difference(baked.answer(form), wanted) <= tolerance
    return baked


def difference(got: Any, wanted: Any) -> float:
    """The largest difference between numbers at the same places of two documents, which are alike otherwise."""
    if isinstance(wanted, dict):
        assert got.keys() == wanted.keys()
        return max((difference(got[name], wanted[name]) for name in wanted), default=0.0)
    if isinstance(wanted, list):
        assert len(got) == len(wanted)
        return max((difference(*pair) for pair in zip(got, wanted, strict=True)), default=0.0)
    if isinstance(wanted, float):
        return abs(float(got) - wanted)
    assert got == wanted
    return 0.0


@contextmanager
def importable(root: Path) -> Iterator[None]:
    """``images`` is a namespace: what the clone has of it is found after what is here."""
    sys.path.append(str(root))
    try:
        importlib.invalidate_caches()
        yield
    finally:
        sys.path.remove(str(root))
