"""Checks that a checkpoint is one that this image can serve. Every fault is reported at once, by file and tensor, before anything
is loaded."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from images.heygem.form import FIELDS
from images.heygem.media.sizes import HEARD_RATE, SIDE
from images.heygem.model import CHANNELS, LATENT_SIDE
from prebake.bake.authoring import PipelinePart, Problem, inspect_checkpoint, raise_problems

MOST_STEPS = next(int(field.maximum or 0) for field in FIELDS if field.name == "steps")
BODY, HEAD = "wav2vec2.", "lm_head."
"""The prefix of names in a network with a head, and the head itself (letters), which is not used."""
TRAINING_ONLY = "masked_spec_embed"
"""Missing in the published file; used in training only."""
KERNELS = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
"""Weight-normed convolutions, as they were published and as torch calls them now."""
ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""As most VAEs were published, and as diffusers calls it now."""


def name_of_voice(published: str) -> str:
    """A tensor of wav2vec2, as transformers renames it when it loads one."""
    stem, _, last = published.removeprefix(BODY).rpartition(".")
    return f"{stem}.{KERNELS.get(last, last)}" if stem else last


def name_of_face(published: str) -> str:
    """A tensor of the VAE, as diffusers renames it when it loads one."""
    if ".attentions." not in published:
        return published
    return ".".join(ATTENTION.get(part, part) for part in published.split("."))


PARTS = {
    "index": PipelinePart("model_index.json"),
    "extractor": PipelinePart("wav2vec2/preprocessor_config.json", Wav2Vec2FeatureExtractor.from_dict),
    "scheduler": PipelinePart("scheduler/scheduler_config.json", DDIMScheduler.from_config),
    "wav2vec2": PipelinePart(
        "wav2vec2/config.json",
        lambda config: Wav2Vec2Model(Wav2Vec2Config(**config)),
        weights="wav2vec2/model",
        rename=name_of_voice,
        unused_prefixes=(HEAD,),
        optional_suffixes=(TRAINING_ONLY,),
    ),
    "unet": PipelinePart("unet/config.json", UNet2DConditionModel.from_config, weights="unet/diffusion_pytorch_model"),
    "vae": PipelinePart(
        "vae/config.json", AutoencoderKL.from_config, weights="vae/diffusion_pytorch_model", rename=name_of_face
    ),
}
SERVED: tuple[tuple[str, str, Callable[[Any], Any], Container[Any]], ...] = (
    ("index", "audio_window", lambda it: it.get("audio_window"), range(1, 101)),
    ("extractor", "sampling_rate", lambda it: it.sampling_rate, [HEARD_RATE]),
    ("unet", "in_channels", lambda it: it.config.in_channels, [2 * CHANNELS]),
    ("unet", "out_channels", lambda it: it.config.out_channels, [CHANNELS]),
    ("vae", "latent_channels", lambda it: it.config.latent_channels, [CHANNELS]),
    ("vae", "block_out_channels", lambda it: 2 ** (len(it.config.block_out_channels) - 1), [SIDE // LATENT_SIDE]),
    ("vae", "shift_factor", lambda it: it.config.get("shift_factor"), [None]),
    ("scheduler", "thresholding", lambda it: it.config.thresholding, [False]),
    ("scheduler", "prediction_type", lambda it: it.config.prediction_type, ["epsilon", "sample", "v_prediction"]),
    ("scheduler", "timestep_spacing", lambda it: it.config.timestep_spacing, ["leading", "trailing", "linspace"]),
)
"""Of a part: a field, its effect, and the supported values."""


def check_checkpoint(folder: Path) -> None:
    """Raises WeightsError that lists every file and tensor that is missing or does not fit."""
    found = inspect_checkpoint(folder, PARTS)
    raise_problems([*found.problems, *_misfits(found.built)], "The checkpoint cannot be loaded:")


def _misfits(made: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems of parts that do not fit each other, or that this image does not support."""
    for part, name, read, allowed in SERVED:
        if part in made and (value := read(made[part])) not in allowed:
            yield Problem(PARTS[part].document, f"{name} makes {value}, this image supports {_words(allowed)}")
    if "scheduler" in made and made["scheduler"].config.num_train_timesteps < MOST_STEPS:
        yield Problem(PARTS["scheduler"].document, f"num_train_timesteps is under {MOST_STEPS}")
    if "unet" in made and "wav2vec2" in made:
        taken, given = made["unet"].config.cross_attention_dim, made["wav2vec2"].config.hidden_size
        if taken != given:
            what = f"cross_attention_dim is {taken}, {PARTS['wav2vec2'].document} has hidden_size {given}"
            yield Problem(PARTS["unet"].document, what)


def _words(allowed: Container[Any]) -> str:
    if isinstance(allowed, range):
        return f"{allowed.start} to {allowed.stop - 1}"
    return " or ".join(map(str, allowed)) if isinstance(allowed, list) else str(allowed)
