"""A pipeline folder that diffusers' ``save_pretrained`` wrote: images out of noise, by a sentence or by none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prebake.errors import Problem
from prebake.render.environment import render_template
from prebake.spec.project import read_templates
from prebake.workflow.beginnings.beginning import Asked, InitRefused, refuse
from prebake.workflow.beginnings.folder import Folder, Weights
from prebake.workflow.beginnings.model_card import read_licence

INDEX = "model_index.json"
_GIB = 2**30
_STEPS = 50  # that are recorded, from 1 on
# Those that do no more than prebake.bake.schedules records; each is held against diffusers' own when it is baked.
_SCHEDULERS = (
    "DDIMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler",
    "EulerDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "PNDMScheduler", "UniPCMultistepScheduler",
)  # fmt: skip
_COMMON = ("schedule.py", "noise.py", "pictures.py")
_WRITE = "write the image by docs/adding-a-model.md: export.py bakes each part's graph, model.py runs the loop"
# Of a part's configuration: what asks for inputs that these pipelines do not give.
_MORE = ("addition_embed_type", "class_embed_type", "encoder_hid_dim_type", "num_class_embeds", "time_cond_proj_dim")


@dataclass(frozen=True)
class Family:
    """A pipeline class: its ``templates``; the ``parts`` that become graphs, by class; the schedulers that it takes."""

    templates: str
    packages: str
    parts: Mapping[str, str]
    schedulers: tuple[str, ...]


FAMILIES: Mapping[str, Family] = {
    "DDPMPipeline": Family("unconditional", "cpu", {"unet": "UNet2DModel"}, ("DDPMScheduler",)),
    "DDIMPipeline": Family("unconditional", "cpu", {"unet": "UNet2DModel"}, ("DDIMScheduler", "DDPMScheduler")),
    "StableDiffusionPipeline": Family(
        "text_to_image",
        "cpu-text",
        {"text_encoder": "CLIPTextModel", "unet": "UNet2DConditionModel", "vae": "AutoencoderKL"},
        _SCHEDULERS,
    ),
}


def recognise(path: Path) -> Pipeline | None:
    """A folder with a model_index.json."""
    folder = Folder(path)
    if not path.is_dir() or not folder.has(INDEX):
        return None
    index = folder.document(INDEX)
    refuse(f"{path} cannot be read:", folder.problems, "give the folder that save_pretrained wrote")
    return Pipeline(folder, index)


@dataclass(frozen=True)
class Component:
    """A part that becomes a graph, and where its weights come from."""

    name: str
    weights: Weights

    @property
    def derived(self) -> bool:
        """Of an autoencoder only the decoder serves."""
        return self.weights.derived or self.name == "vae"


@dataclass(frozen=True)
class Pipeline:
    """A checkpoint of diffusers."""

    folder: Folder
    index: Mapping[str, Any] = field(repr=False)

    def check(self) -> None:
        """Whether pipeline and scheduler are known."""
        self._family()

    def write(self, asked: Asked) -> Mapping[str, bytes]:
        """Spec, README, code and requirements of the pipeline's family."""
        asked.refuse_inputs("a pipeline of diffusers tells them itself")
        name, family = self._family()
        self._check_parts(family)
        components = [Component(part, self._weights(part)) for part in family.parts]
        files = self._files(family, components)
        refuse(
            f"{self.folder.path} cannot be begun with ({name}):",
            self.folder.problems,
            f"mend the checkpoint, or {_WRITE}",
        )
        return self._render(read_templates(asked.root), family, self._values(asked, components, files))

    def _family(self) -> tuple[str, Family]:
        name = str(self.index.get("_class_name", ""))
        if name not in FAMILIES:
            raise self._unknown(name)
        return name, FAMILIES[name]

    def _unknown(self, name: str) -> InitRefused:
        parts = ", ".join(f"{part} ({each[1]})" for part, each in self._parts().items() if each[1])
        return InitRefused(
            f"{self.folder.path} is a {name or 'pipeline without a class'}, known are {', '.join(FAMILIES)}. Its parts: {parts}.",
            next_action=f"{_WRITE}; images/zimage shows one",
        )

    def _parts(self) -> Mapping[str, Sequence[Any]]:
        """Library and class of each part; of one that is left out both are None."""
        return {part: each for part, each in self.index.items() if isinstance(each, list) and len(each) == 2}

    def _check_parts(self, family: Family) -> None:
        parts = self._parts()
        for part, kind in family.parts.items():
            if (found := (parts.get(part) or (None, None))[1]) != kind:
                self._problem(INDEX, f"{part} is {found or 'missing'}", f"known is {kind}")
            config = self.folder.document(f"{part}/config.json")
            if self.folder.require(f"{part}/config.json"):
                for each in _MORE:
                    if config.get(each) is not None:
                        what = f"{each} is {config[each]}"
                        self._problem(f"{part}/config.json", what, "such a network takes more inputs")
                if part == "unet" and not config.get("sample_size"):
                    self._problem(f"{part}/config.json", "sample_size is missing", "the graph is for one size")
        if "text_encoder" in family.parts:
            self._check_text(parts)
        self._check_scheduler(family, str((parts.get("scheduler") or (None, None))[1]))

    def _check_text(self, parts: Mapping[str, Sequence[Any]]) -> None:
        if not str((parts.get("tokenizer") or (None, None))[1]).startswith("CLIPTokenizer"):
            self._problem(INDEX, "the tokenizer is none of CLIP's")
        if self.folder.document("text_encoder/config.json").get("use_attention_mask"):
            self._problem("text_encoder/config.json", "use_attention_mask: the mask is not served")
        if parts.get("image_encoder", (None, None))[1]:
            self._problem(INDEX, "image_encoder: images are no input of what is served")

    def _check_scheduler(self, family: Family, kind: str) -> None:
        where = "scheduler/scheduler_config.json"
        if kind not in family.schedulers:
            self._problem(INDEX, f"the scheduler is {kind}", f"known are {', '.join(family.schedulers)}")
        if self.folder.require(where):
            says = self.folder.document(where)
            if says.get("thresholding"):
                self._problem(where, "thresholding looks at the whole sample", "known are schedulers without it")

    def _weights(self, part: str) -> Weights:
        """Its files, by their places in the pipeline's folder."""
        inner = Folder(self.folder.path / part)
        found = inner.weights("model" if part == "text_encoder" else "diffusion_pytorch_model")
        for each in inner.problems:
            self._problem(f"{part}/{each.where}", each.what, each.hint)
        return Weights(tuple(f"{part}/{name}" for name in found.files), found.derived)

    def _files(self, family: Family, components: Sequence[Component]) -> list[str]:
        """What the export reads."""
        names = {INDEX, "scheduler/scheduler_config.json", *self.folder.licences()}
        names |= {f"{part}/config.json" for part in family.parts}
        names |= {file for each in components for file in each.weights.files}
        if "text_encoder" in family.parts:
            names |= {f"tokenizer/{each.name}" for each in sorted((self.folder.path / "tokenizer").glob("*.*"))}
            names |= set(self.folder.present("feature_extractor/preprocessor_config.json"))
        return sorted(names)

    def _values(self, asked: Asked, components: Sequence[Component], files: Sequence[str]) -> Mapping[str, Any]:
        parts = self._parts()
        pipeline = str(self.index["_class_name"])
        scheduler = self.folder.document("scheduler/scheduler_config.json")
        trained = int(scheduler.get("num_train_timesteps", 1000))
        stepwise = pipeline == "DDPMPipeline"
        length = self.folder.document("text_encoder/config.json").get("max_position_embeddings", 77)
        shipped = [name for each in components if not each.derived for name in each.weights.files]
        return {
            **asked.values(self.folder.path, licence=read_licence(self.folder.path / "README.md")),
            "files": files,
            "ship": sorted({name for name in shipped if name.endswith(".safetensors")}),
            "components": components,
            "derived": {each.name: each.derived for each in components},
            "serve": ("model.py", "request.py", *_COMMON),
            "export": ("export.py", "naive.py", "request.py", "schedule.py", "pictures.py"),
            "memory": 2 + math.ceil(2 * sum(self.folder.size(each.weights) for each in components) / _GIB),
            "pipeline": pipeline,
            "scheduler": (parts.get("scheduler") or ("", ""))[1],
            "steps": f"(*range(1, {min(_STEPS, trained) + 1}), {trained})" if stepwise else f"range(1, {_STEPS + 1})",
            "default_steps": trained if stepwise else min(50, _STEPS),
            "tokens": length,
            "checker": bool((parts.get("safety_checker") or (None, None))[1]),
        }

    def _render(self, templates: Mapping[str, str], family: Family, values: Mapping[str, Any]) -> Mapping[str, bytes]:
        own = f"init/diffusers/{family.templates}"
        places = {name: f"{own}/{name}.j2" for name in ("README.md", "model.py", "request.py", "export.py", "naive.py")}
        places |= {name: f"init/diffusers/{name}.j2" for name in ("image.yaml", *_COMMON)}
        rendered = {name: render_template(templates, place, values) for name, place in places.items()}
        packages = {
            f"requirements/cpu.{kind}": templates[f"requirements/{family.packages}.{kind}"] for kind in ("in", "txt")
        }
        return {name: text.encode() for name, text in (rendered | packages).items()}

    def _problem(self, where: str, what: str, hint: str = "") -> None:
        self.folder.problems.append(Problem(where, what, hint))
