"""Strict loading of the checkpoint's folders: every file and every tensor by name and shape, every fault in one error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, DDIMScheduler, ModelMixin, UNet2DConditionModel
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

from images.heygem.faces import SIDE
from images.heygem.form import FIELDS
from images.heygem.model import CHANNELS, LATENT_SIDE
from images.heygem.voice import HEARD_RATE
from prebake.bake.errors import BakeError
from prebake.errors import Problem

INDEX = "model_index.json"
FILES = (
    INDEX,
    "wav2vec2/config.json",
    "wav2vec2/preprocessor_config.json",
    "wav2vec2/model.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "scheduler/scheduler_config.json",
)
HEAD = "lm_head."
"""Published beside wav2vec2: letters for its vectors, which are not asked for."""
TRAINING_ONLY = "masked_spec_embed"
"""Missing in the published file, and not used but in training."""
MOST_STEPS = next(int(field.maximum or 0) for field in FIELDS if field.name == "steps")


@dataclass(frozen=True)
class Checkpoint:
    """The networks, in eval mode, and what goes with them."""

    wav2vec2: Any
    extractor: Any
    unet: Any
    vae: Any
    scheduler: Any
    audio_window: int


def load(folder: Path) -> Checkpoint:
    """Everything of a checkpoint. Raises BakeError with every file and tensor that is missing or does not fit."""
    _refuse([Problem(name, "missing") for name in FILES if not (folder / name).is_file()])
    reader = _Reader(folder)
    index = reader.read(INDEX, lambda: json.loads((folder / INDEX).read_bytes()))
    parts = {
        "wav2vec2": reader.network(Wav2Vec2Model, "wav2vec2", "model.safetensors"),
        "extractor": reader.read("wav2vec2", lambda: Wav2Vec2FeatureExtractor.from_pretrained(folder / "wav2vec2")),
        "unet": reader.network(UNet2DConditionModel, "unet", "diffusion_pytorch_model.safetensors"),
        "vae": reader.network(AutoencoderKL, "vae", "diffusion_pytorch_model.safetensors"),
        "scheduler": reader.read("scheduler", lambda: DDIMScheduler.from_pretrained(folder / "scheduler")),
    }
    _refuse(reader.problems)
    checkpoint = Checkpoint(**parts, audio_window=index.get("audio_window", 0))
    _refuse(list(_misfits(checkpoint)))
    return checkpoint


class _Reader:
    """Collects problems instead of stopping at the first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.problems: list[Problem] = []

    def read(self, where: str, load: Callable[[], Any]) -> Any:
        try:
            return load()
        # The libraries raise what they please for a document or a file that is none.
        except Exception as error:
            self.problems.append(Problem(where, f"cannot be read: {type(error).__name__}: {str(error).strip()[:500]}"))
            return None

    def network(self, kind: Any, name: str, weights: str) -> Any:
        """One of the networks, every tensor of which came from its file."""
        options = {"local_files_only": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
        if issubclass(kind, ModelMixin):
            options["low_cpu_mem_usage"] = False  # it wants another package, and says so each time
        loaded = self.read(name, lambda: kind.from_pretrained(self._folder / name, **options))
        if loaded is None:
            return None
        network, told = loaded
        self.problems += [Problem(f"{name}/{weights}", fault) for fault in _faults(told)]
        return network.float().eval().requires_grad_(False)


def _faults(told: Mapping[str, Any]) -> Iterator[str]:
    """What a library says of the tensors that it loaded."""
    for name in sorted(told["missing_keys"]):
        if not name.endswith(TRAINING_ONLY):
            yield f"tensor {name} is missing"
    for name in sorted(told["unexpected_keys"]):
        if not name.startswith(HEAD):
            yield f"tensor {name} is none of the network's"
    for name, given, wanted in sorted(told["mismatched_keys"]):
        yield f"tensor {name} is {list(given)}, by config.json it is {list(wanted)}"


def _misfits(checkpoint: Checkpoint) -> Iterator[Problem]:
    """Where the parts do not fit each other, or are of a kind that is not served."""
    heard, unet, vae = checkpoint.wav2vec2.config, checkpoint.unet.config, checkpoint.vae.config
    schedule = checkpoint.scheduler.config
    channels, scale = vae.latent_channels, 2 ** (len(vae.block_out_channels) - 1)
    facts = {
        (INDEX, "audio_window"): (checkpoint.audio_window, [*range(1, 101)]),
        ("wav2vec2/preprocessor_config.json", "sampling_rate"): (checkpoint.extractor.sampling_rate, [HEARD_RATE]),
        ("unet/config.json", "cross_attention_dim"): (unet.cross_attention_dim, [heard.hidden_size]),
        ("unet/config.json", "in_channels"): (unet.in_channels, [2 * CHANNELS]),
        ("unet/config.json", "out_channels"): (unet.out_channels, [CHANNELS]),
        ("vae/config.json", "latent_channels"): (channels, [CHANNELS]),
        ("vae/config.json", "block_out_channels"): (scale, [SIDE // LATENT_SIDE]),
        ("vae/config.json", "shift_factor"): (vae.get("shift_factor"), [None]),
        ("scheduler/scheduler_config.json", "thresholding"): (schedule.thresholding, [False]),
    }
    for (file, name), (value, allowed) in facts.items():
        if value not in allowed:
            wanted = f"1 to {len(allowed)}" if len(allowed) > 1 else str(allowed[0])
            yield Problem(file, f"{name} makes {value}, served is {wanted}")
    if schedule.num_train_timesteps < MOST_STEPS:
        yield Problem("scheduler/scheduler_config.json", f"num_train_timesteps is under {MOST_STEPS}")


def _refuse(problems: list[Problem]) -> None:
    if problems:
        faults = "\n".join(f"  {problem}" for problem in problems)
        raise BakeError(
            f"The checkpoint cannot be loaded:\n{faults}",
            next_action="Give whole folders of one checkpoint, each config.json with its own weights.",
        )
