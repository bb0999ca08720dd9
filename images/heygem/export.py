"""HeyGem baked: four graphs over three published files, what the host computes with, and the warm-up request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from images.heygem import naive
from images.heygem.loading import Checkpoint, load
from images.heygem.media.sizes import HEARD_RATE, SIDE
from images.heygem.media.voice import LONGEST, SHORTEST, SLACK
from images.heygem.model import CHANNELS, LATENT_SIDE, PIPELINE
from images.heygem.networks import AudioEncoder, Denoiser, FaceDecoder, FaceEncoder
from images.heygem.schedule import Schedule
from images.heygem.warmup import draw_face, speak

if TYPE_CHECKING:
    from prebake.bake.authoring import Bake

Case = Mapping[str, Tensor]

WARMUP_SECONDS, WARMUP_STEPS = 0.08, 2
"""The smallest request that runs every graph, and two steps: each start computes it before it is ready."""
TOLERANCE = 1e-3
"""The tolerance of a mean color of the warm-up's answer, in 0..1."""
LATENTS = (CHANNELS, LATENT_SIDE, LATENT_SIDE)
FEWEST, MOST = int(SHORTEST * HEARD_RATE), int((LONGEST + SLACK) * HEARD_RATE)
"""Samples of a voice."""


def export(bake: Bake) -> None:
    """All components of ``image.yaml``; the answer to the warm-up request is diffusers' own."""
    checkpoint = load(bake.checkpoint)
    _export_networks(bake, checkpoint)
    bake.asset(PIPELINE, json.dumps(describe(checkpoint), sort_keys=True).encode() + b"\n")
    audio, face = speak(WARMUP_SECONDS), draw_face()
    given: dict[str, Any] = {"steps": WARMUP_STEPS, "seed": 1, "output": "frames"}
    body, media_type = naive.load(bake.checkpoint).generate({"audio": audio, "face": face, **given})
    files = {"audio": bake.File("voice.wav", audio), "face": bake.File("face.png", face)}
    bake.reference({**files, **given}, body, media_type, tolerance=TOLERANCE)


def _export_networks(bake: Bake, checkpoint: Checkpoint) -> None:
    encoder = AudioEncoder(checkpoint.wav2vec2, normalize=checkpoint.extractor.do_normalize).eval()
    samples = {"samples": {1: torch.export.Dim("count", min=FEWEST, max=MOST)}}
    bake.graph("wav2vec2", encoder, [{"samples": draw(1, n)} for n in (16_000, FEWEST, 23_456)], ["features"], samples)
    denoiser = Denoiser(checkpoint.unet).eval()
    frames = {name: {0: "frames"} for name in ("latents", "face", "audio")}
    bake.graph(
        "unet", denoiser, [unet_case(checkpoint, n, time) for n, time in ((2, 501), (1, 1))], ["noise_pred"], frames
    )
    pictures = [{"pictures": (64 * draw(n, SIDE, SIDE, 3) + 128).clamp(0, 255).to(torch.uint8)} for n in (2, 1)]
    bake.graph("vae_encoder", FaceEncoder(checkpoint.vae).eval(), pictures, ["latents"], {"pictures": {0: "count"}})
    latents = [{"latents": draw(n, *LATENTS)} for n in (2, 1)]
    bake.graph("vae_decoder", FaceDecoder(checkpoint.vae).eval(), latents, ["pictures"], {"latents": {0: "count"}})


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """The numbers that ``model.py`` computes with on the host."""
    scheduler, config = checkpoint.scheduler, checkpoint.scheduler.config
    schedule = Schedule(
        alphas=scheduler.alphas_cumprod.tolist(),
        last_alpha=float(scheduler.final_alpha_cumprod),
        prediction=config.prediction_type,
        spacing=config.timestep_spacing,
        offset=config.steps_offset,
        clip=config.clip_sample_range if config.clip_sample else None,
    )
    return {"audio_window": checkpoint.audio_window, "schedule": schedule._asdict()}


def unet_case(checkpoint: Checkpoint, frames: int, time: int) -> Case:
    """Random inputs for some frames."""
    return {
        "latents": draw(frames, *LATENTS),
        "face": draw(frames, *LATENTS).flip(-1),
        "timestep": torch.tensor([time]),
        "audio": draw(frames, checkpoint.audio_window, checkpoint.wav2vec2.config.hidden_size),
    }


def draw(*shape: int) -> Tensor:
    """Random numbers of unit size, from numpy, so that the cases are the same on every machine."""
    return torch.from_numpy(np.random.RandomState(len(shape)).standard_normal(shape).astype(np.float32))
