"""Loading the checkpoint's folders, by the libraries that they were written by."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

from images.heygem.checkpoint import PARTS, check_checkpoint


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
    """Everything of a checkpoint. Raises WeightsError with every file and tensor that is missing or does not fit."""
    check_checkpoint(folder)

    def read(kind: Any, name: str, **options: Any) -> Any:
        return kind.from_pretrained(folder / name, local_files_only=True, **options)

    def network(kind: Any, name: str, **options: Any) -> Any:
        return read(kind, name, **options).float().eval().requires_grad_(False)

    # diffusers' low_cpu_mem_usage needs another package, and prints a warning each time
    return Checkpoint(
        wav2vec2=network(Wav2Vec2Model, "wav2vec2"),
        extractor=read(Wav2Vec2FeatureExtractor, "wav2vec2"),
        unet=network(UNet2DConditionModel, "unet", low_cpu_mem_usage=False),
        vae=network(AutoencoderKL, "vae", low_cpu_mem_usage=False),
        scheduler=read(DDIMScheduler, "scheduler"),
        audio_window=json.loads((folder / PARTS["index"].document).read_bytes())["audio_window"],
    )
