"""A folder that transformers' ``save_pretrained`` wrote, for the common tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prebake.errors import Problem
from prebake.render.environment import render_template
from prebake.spec.project import read_templates
from prebake.workflow.beginnings.beginning import Asked, InitRefused, refuse
from prebake.workflow.beginnings.facts import Facts
from prebake.workflow.beginnings.folder import CONFIG, Folder, Weights
from prebake.workflow.beginnings.model_card import read_licence
from prebake.workflow.beginnings.sentences import MODULES
from prebake.workflow.beginnings.tasks import EMBEDDINGS, TASKS, Task, find_task

_GIB = 2**30
_MEND, _ELSE = "mend the checkpoint", "write the image by docs/adding-a-model.md"


def recognise(path: Path) -> Pretrained | None:
    """A folder whose config.json is a transformers model's, unless all that it holds besides is a graph."""
    folder = Folder(path)
    config = folder.document(CONFIG) if path.is_dir() else {}
    if folder.problems and not config:
        refuse(f"{path} cannot be read:", folder.problems, "give the folder that save_pretrained wrote")
    graphs = [*path.glob("*.onnx"), *path.glob("*/*.onnx")]
    graphs_alone = graphs and not any(path.glob("*.safetensors")) and not any(path.glob("*.bin"))
    known = config.keys() & {"architectures", "model_type"} or folder.has(MODULES)
    if graphs_alone or not known:
        return None
    return Pretrained(folder, config)


@dataclass(frozen=True)
class Pretrained:
    """A checkpoint of transformers."""

    folder: Folder
    config: Mapping[str, Any] = field(repr=False)

    def check(self) -> None:
        """Whether the task is known."""
        self._task(self._architecture())

    def write(self, asked: Asked) -> Mapping[str, bytes]:
        """Spec, README, code, sample and requirements of the task that the architecture is for."""
        asked.refuse_inputs("a transformers folder tells them itself")
        architecture = self._architecture()
        task = self._task(architecture)
        facts, weights = task.read(self.folder, self.config), self.folder.weights()
        if "auto_map" in self.config:
            code = Problem(CONFIG, "auto_map names code of the checkpoint's own", "such code is not run")
            self.folder.problems.append(code)
        refuse(
            f"{self.folder.path} cannot be begun with ({architecture}):", self.folder.problems, f"{_MEND}, or {_ELSE}"
        )
        values = {**self._values(asked, facts, weights), "task": task, "architecture": architecture}
        return {**_render(read_templates(asked.root), task, values), **facts.samples}

    def _architecture(self) -> str:
        return str(next(iter(self.config.get("architectures") or ()), ""))

    def _task(self, architecture: str) -> Task:
        task = EMBEDDINGS if self.folder.has(MODULES) else find_task(architecture)
        if task is None:
            known = ", ".join(f"…{each.suffix}" for each in TASKS)
            raise InitRefused(
                f"{self.folder.path} is for none of the tasks that init knows: by {CONFIG} it is a "
                f"{architecture or 'model without an architecture'}, known are {known}.",
                next_action=_ELSE,
            )
        return task

    def _values(self, asked: Asked, facts: Facts, weights: Weights) -> Mapping[str, Any]:
        """What the templates of every task say."""
        shipped = () if weights.derived else tuple(name for name in weights.files if name.endswith(".safetensors"))
        licences = self.folder.licences()
        return {
            **asked.values(self.folder.path, licence=read_licence(self.folder.path / "README.md")),
            "files": sorted({CONFIG, *weights.files, *facts.files, *licences}),
            "ship": sorted({*shipped, *facts.ship, *licences}),
            "derived": weights.derived,
            "memory": 1 + math.ceil((2 * self.folder.size(weights) + facts.memory) / _GIB),
            "samples": tuple(sorted(facts.samples)),
            **facts.values,
        }


def _render(templates: Mapping[str, str], task: Task, values: Mapping[str, Any]) -> Mapping[str, bytes]:
    places = {name: f"init/{task.templates}/{name}.j2" for name in ("README.md", *task.code)}
    places["image.yaml"] = "init/transformers/image.yaml.j2"
    packages = {f"requirements/cpu.{kind}": templates[f"requirements/{task.packages}.{kind}"] for kind in ("in", "txt")}
    rendered = {name: render_template(templates, place, values) for name, place in places.items()}
    return {name: text.encode() for name, text in (rendered | packages).items()}
