"""A pipeline folder from diffusers' ``save_pretrained``: images from noise, with or without a prompt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prebake.errors import Problem
from prebake.render.environment import render_template
from prebake.spec.project import read_templates
from prebake.workflow.init.checkpoint_folder import CheckpointFolder, WeightFiles
from prebake.workflow.init.model_card import read_license
from prebake.workflow.init.recognizers.recognizer import ImageDraft, InitRefused, refuse

INDEX = "model_index.json"
_GIB = 2**30
_STEPS = 50  # the largest recorded number of steps
# Schedulers that prebake.bake.authoring.schedulers can record; the bake compares each with diffusers' own.
_SCHEDULERS = (
    "DDIMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler",
    "EulerDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "PNDMScheduler", "UniPCMultistepScheduler",
)  # fmt: skip
_COMMON = ("schedule.py", "noise.py", "pictures.py")
_BY_HAND = (
    "write the image by docs/adding-a-model.md: export.py exports each sub-model, model.py runs the sampling loop"
)
# Keys of a sub-model's config that add inputs, which these pipelines do not have.
_INPUT_KEYS = (
    "addition_embed_type",
    "class_embed_type",
    "encoder_hid_dim_type",
    "num_class_embeds",
    "time_cond_proj_dim",
)


@dataclass(frozen=True)
class PipelineFamily:
    """A pipeline class. ``parts``: the class of each sub-model that becomes a graph. ``schedulers``: the supported classes."""

    templates: str
    packages: str
    parts: Mapping[str, str]
    schedulers: tuple[str, ...]


FAMILIES: Mapping[str, PipelineFamily] = {
    "DDPMPipeline": PipelineFamily("unconditional", "cpu", {"unet": "UNet2DModel"}, ("DDPMScheduler",)),
    "DDIMPipeline": PipelineFamily("unconditional", "cpu", {"unet": "UNet2DModel"}, ("DDIMScheduler", "DDPMScheduler")),
    "StableDiffusionPipeline": PipelineFamily(
        "text_to_image",
        "cpu-text",
        {"text_encoder": "CLIPTextModel", "unet": "UNet2DConditionModel", "vae": "AutoencoderKL"},
        _SCHEDULERS,
    ),
}


def recognize(path: Path) -> DiffusersPipeline | None:
    """A folder with a model_index.json."""
    folder = CheckpointFolder(path)
    if not path.is_dir() or not folder.has(INDEX):
        return None
    index = folder.document(INDEX)
    refuse(f"{path} cannot be read:", folder.problems, "give the folder that save_pretrained wrote")
    return DiffusersPipeline(folder, index)


@dataclass(frozen=True)
class PipelineComponent:
    """A sub-model that becomes a graph, and the files of its weights."""

    name: str
    weights: WeightFiles

    @property
    def derived(self) -> bool:
        """Whether the export stage makes the weights. It does for a VAE, of which only the decoder is served."""
        return self.weights.derived or self.name == "vae"


@dataclass(frozen=True)
class DiffusersPipeline:
    """A pipeline of a supported or unsupported class."""

    folder: CheckpointFolder
    index: Mapping[str, Any] = field(repr=False)

    def check(self) -> None:
        """Raises InitRefused if the pipeline's class is not supported."""
        self._family()

    def write(self, draft: ImageDraft) -> Mapping[str, bytes]:
        """Spec, README, code and requirements for the pipeline's class."""
        draft.refuse_inputs("a diffusers pipeline has its inputs' types")
        name, family = self._family()
        self._check_parts(family)
        components = [PipelineComponent(part, self._weights(part)) for part in family.parts]
        files = self._files(family, components)
        refuse(
            f"{self.folder.path} cannot be baked ({name}):",
            self.folder.problems,
            f"correct the checkpoint, or {_BY_HAND}",
        )
        return self._render(read_templates(draft.request.root), family, self._values(draft, components, files))

    def _family(self) -> tuple[str, PipelineFamily]:
        name = str(self.index.get("_class_name", ""))
        if name not in FAMILIES:
            raise self._unknown(name)
        return name, FAMILIES[name]

    def _unknown(self, name: str) -> InitRefused:
        parts = ", ".join(f"{part} ({names[1]})" for part, names in self._parts().items() if names[1])
        return InitRefused(
            f"{self.folder.path} is a {name or 'pipeline without a class'}. init supports {', '.join(FAMILIES)}. "
            f"Its sub-models: {parts}.",
            next_action=f"{_BY_HAND}; images/zimage is an example",
        )

    def _parts(self) -> Mapping[str, Sequence[Any]]:
        """Library and class of each sub-model; both are None for one that is left out."""
        return {part: names for part, names in self.index.items() if isinstance(names, list) and len(names) == 2}

    def _check_parts(self, family: PipelineFamily) -> None:
        parts = self._parts()
        for part, kind in family.parts.items():
            if (found := (parts.get(part) or (None, None))[1]) != kind:
                self._problem(INDEX, f"{part} is {found or 'missing'}", f"supported is {kind}")
            config = self.folder.document(f"{part}/config.json")
            if self.folder.require(f"{part}/config.json"):
                for key in _INPUT_KEYS:
                    if config.get(key) is not None:
                        what = f"{key} is {config[key]}"
                        self._problem(f"{part}/config.json", what, "a model with this setting takes more inputs")
                if part == "unet" and not config.get("sample_size"):
                    self._problem(f"{part}/config.json", "sample_size is missing", "the graph is exported for one size")
        if "text_encoder" in family.parts:
            self._check_text(parts)
        self._check_scheduler(family, str((parts.get("scheduler") or (None, None))[1]))

    def _check_text(self, parts: Mapping[str, Sequence[Any]]) -> None:
        if not str((parts.get("tokenizer") or (None, None))[1]).startswith("CLIPTokenizer"):
            self._problem(INDEX, "the tokenizer is not a CLIPTokenizer")
        if self.folder.document("text_encoder/config.json").get("use_attention_mask"):
            self._problem("text_encoder/config.json", "use_attention_mask: the served pipeline does not use the mask")
        if parts.get("image_encoder", (None, None))[1]:
            self._problem(INDEX, "image_encoder: images as inputs are not supported")

    def _check_scheduler(self, family: PipelineFamily, kind: str) -> None:
        where = "scheduler/scheduler_config.json"
        if kind not in family.schedulers:
            self._problem(INDEX, f"the scheduler is {kind}", f"supported are {', '.join(family.schedulers)}")
        if self.folder.require(where) and self.folder.document(where).get("thresholding"):
            self._problem(where, "thresholding depends on the whole sample", "use a scheduler without it")

    def _weights(self, part: str) -> WeightFiles:
        """The weight files of a sub-model, relative to the pipeline's folder."""
        inner = CheckpointFolder(self.folder.path / part)
        found = inner.weights("model" if part == "text_encoder" else "diffusion_pytorch_model")
        for problem in inner.problems:
            self._problem(f"{part}/{problem.where}", problem.what, problem.hint)
        return WeightFiles(tuple(f"{part}/{name}" for name in found.files), found.derived)

    def _files(self, family: PipelineFamily, components: Sequence[PipelineComponent]) -> list[str]:
        """The files that the export stage reads."""
        names = {INDEX, "scheduler/scheduler_config.json", *self.folder.licenses()}
        names |= {f"{part}/config.json" for part in family.parts}
        names |= {file for component in components for file in component.weights.files}
        if "text_encoder" in family.parts:
            names |= {f"tokenizer/{file.name}" for file in sorted((self.folder.path / "tokenizer").glob("*.*"))}
            names |= set(self.folder.present("feature_extractor/preprocessor_config.json"))
        return sorted(names)

    def _values(
        self, draft: ImageDraft, components: Sequence[PipelineComponent], files: Sequence[str]
    ) -> Mapping[str, Any]:
        parts = self._parts()
        pipeline = str(self.index["_class_name"])
        scheduler = self.folder.document("scheduler/scheduler_config.json")
        trained = int(scheduler.get("num_train_timesteps", 1000))
        stepwise = pipeline == "DDPMPipeline"
        length = self.folder.document("text_encoder/config.json").get("max_position_embeddings", 77)
        shipped = [name for component in components if not component.derived for name in component.weights.files]
        return {
            **draft.values(self.folder.path, license=read_license(self.folder.path / "README.md")),
            "files": files,
            "ship": sorted({name for name in shipped if name.endswith(".safetensors")}),
            "components": components,
            "derived": {component.name: component.derived for component in components},
            "serve": ("model.py", "request.py", *_COMMON),
            "export": ("export.py", "naive.py", "request.py", "schedule.py", "pictures.py"),
            "memory": 2 + math.ceil(2 * sum(self.folder.size(component.weights) for component in components) / _GIB),
            "pipeline": pipeline,
            "scheduler": (parts.get("scheduler") or ("", ""))[1],
            "steps": f"(*range(1, {min(_STEPS, trained) + 1}), {trained})" if stepwise else f"range(1, {_STEPS + 1})",
            "default_steps": trained if stepwise else min(50, _STEPS),
            "tokens": length,
            "checker": bool((parts.get("safety_checker") or (None, None))[1]),
        }

    def _render(
        self, templates: Mapping[str, str], family: PipelineFamily, values: Mapping[str, Any]
    ) -> Mapping[str, bytes]:
        folder = f"init/diffusers/{family.templates}"
        places = {
            name: f"{folder}/{name}.j2" for name in ("README.md", "model.py", "request.py", "export.py", "naive.py")
        }
        places |= {name: f"init/diffusers/{name}.j2" for name in ("image.yaml", *_COMMON)}
        rendered = {name: render_template(templates, place, values) for name, place in places.items()}
        packages = {
            f"requirements/cpu.{kind}": templates[f"requirements/{family.packages}.{kind}"] for kind in ("in", "txt")
        }
        return {name: text.encode() for name, text in (rendered | packages).items()}

    def _problem(self, where: str, what: str, hint: str = "") -> None:
        self.folder.problems.append(Problem(where, what, hint))
