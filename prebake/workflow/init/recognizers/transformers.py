"""A folder from transformers' ``save_pretrained``, for the common tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prebake.errors import Problem
from prebake.render.environment import render_template
from prebake.spec.project import read_templates
from prebake.workflow.init.checkpoint_folder import CONFIG, CheckpointFolder, TaskContents, WeightFiles
from prebake.workflow.init.model_card import read_license
from prebake.workflow.init.recognizers.recognizer import ImageDraft, InitRefused, refuse
from prebake.workflow.init.tasks.sentence_embedding import MODULES
from prebake.workflow.init.tasks.tasks import EMBEDDINGS, TASKS, Task, find_task

_GIB = 2**30
_CORRECT, _BY_HAND = "correct the checkpoint", "write the image by docs/adding-a-model.md"


def recognize(path: Path) -> TransformersCheckpoint | None:
    """A folder with the config.json of a transformers model, unless it holds ONNX graphs and no weights."""
    folder = CheckpointFolder(path)
    config = folder.document(CONFIG) if path.is_dir() else {}
    if folder.problems and not config:
        refuse(f"{path} cannot be read:", folder.problems, "give the folder that save_pretrained wrote")
    graphs = [*path.glob("*.onnx"), *path.glob("*/*.onnx")]
    graphs_alone = graphs and not any(path.glob("*.safetensors")) and not any(path.glob("*.bin"))
    known = config.keys() & {"architectures", "model_type"} or folder.has(MODULES)
    if graphs_alone or not known:
        return None
    return TransformersCheckpoint(folder, config)


@dataclass(frozen=True)
class TransformersCheckpoint:
    """A checkpoint of transformers."""

    folder: CheckpointFolder
    config: Mapping[str, Any] = field(repr=False)

    def check(self) -> None:
        """Raises InitRefused if the task is not supported."""
        self._task(self._architecture())

    def write(self, draft: ImageDraft) -> Mapping[str, bytes]:
        """Spec, README, code, sample and requirements for the task of the architecture."""
        draft.refuse_inputs("a transformers folder has its inputs' types")
        architecture = self._architecture()
        task = self._task(architecture)
        contents, weights = task.read(self.folder, self.config), self.folder.weights()
        if "auto_map" in self.config:
            code = Problem(
                CONFIG, "auto_map refers to code in the checkpoint", "init does not run code of a checkpoint"
            )
            self.folder.problems.append(code)
        refuse(
            f"{self.folder.path} cannot be baked ({architecture}):", self.folder.problems, f"{_CORRECT}, or {_BY_HAND}"
        )
        values = {**self._values(draft, contents, weights), "task": task, "architecture": architecture}
        return {**_render(read_templates(draft.request.root), task, values), **contents.samples}

    def _architecture(self) -> str:
        return str(next(iter(self.config.get("architectures") or ()), ""))

    def _task(self, architecture: str) -> Task:
        task = EMBEDDINGS if self.folder.has(MODULES) else find_task(architecture)
        if task is None:
            known = ", ".join(f"…{task.suffix}" for task in TASKS)
            raise InitRefused(
                f"init does not support the task of {self.folder.path}: according to {CONFIG} it is a "
                f"{architecture or 'model without an architecture'}. init supports {known}.",
                next_action=_BY_HAND,
            )
        return task

    def _values(self, draft: ImageDraft, contents: TaskContents, weights: WeightFiles) -> Mapping[str, Any]:
        """The values of every task's templates."""
        shipped = () if weights.derived else tuple(name for name in weights.files if name.endswith(".safetensors"))
        licenses = self.folder.licenses()
        return {
            **draft.values(self.folder.path, license=read_license(self.folder.path / "README.md")),
            "files": sorted({CONFIG, *weights.files, *contents.files, *licenses}),
            "ship": sorted({*shipped, *contents.ship, *licenses}),
            "derived": weights.derived,
            "memory": 1 + math.ceil((2 * self.folder.size(weights) + contents.memory) / _GIB),
            "samples": tuple(sorted(contents.samples)),
            **contents.values,
        }


def _render(templates: Mapping[str, str], task: Task, values: Mapping[str, Any]) -> Mapping[str, bytes]:
    places = {name: f"init/{task.templates}/{name}.j2" for name in ("README.md", *task.code)}
    places["image.yaml"] = "init/transformers/image.yaml.j2"
    packages = {f"requirements/cpu.{kind}": templates[f"requirements/{task.packages}.{kind}"] for kind in ("in", "txt")}
    rendered = {name: render_template(templates, place, values) for name, place in places.items()}
    return {name: text.encode() for name, text in (rendered | packages).items()}
