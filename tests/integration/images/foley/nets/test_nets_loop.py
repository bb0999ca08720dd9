"""The whole denoising loop and the sound that comes of it, against the golden vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from images.foley import sampler
from images.foley.media.frames import latent_length
from images.foley.nets import pipeline
from tests.support.foley import graph_runs, networks
from tests.support.foley.networks import golden, worst

LATENTS, AUDIO = 2e-5, 1e-4
CASES = ("loop_cfg", "loop_nocfg")


@pytest.mark.parametrize("case", CASES)
def test_torch(case: str) -> None:
    vectors = golden(case)
    features = {name: torch.from_numpy(vectors[f"in_{name}"]) for name in ("siglip", "sync", "text", "text_negative")}
    text = torch.cat((features["text_negative"], features["text"]))
    sync = torch.unflatten(features["sync"], 1, (-1, 8))
    order = pipeline.Order(b"", "", steps=int(vectors["steps"]), guidance=float(vectors["guidance"]))
    with torch.inference_mode():
        latents = pipeline.denoise(
            networks.tiny_transformer(),
            torch.from_numpy(vectors["in_latents"]),
            (text, features["siglip"], sync),
            order,
        )
        audio = networks.tiny_decoder()(latents)
    assert worst(latents, vectors["out_latents"]) < LATENTS
    assert worst(audio, vectors["out_audio"]) < AUDIO


@pytest.mark.parametrize("case", CASES)
def test_graphs_under_the_served_sampler(case: str) -> None:
    vectors = golden(case)
    guidance = float(vectors["guidance"])
    rows = 2 if guidance > 1 else 1
    sync = vectors["in_sync"].reshape(1, -1, 8, vectors["in_sync"].shape[-1])
    given = {
        "text": np.concatenate((vectors["in_text_negative"], vectors["in_text"]))[-rows:],
        "visual": np.repeat(vectors["in_siglip"], rows, axis=0),
        "sync": np.repeat(sync, rows, axis=0),
        "conditional": np.array([False, True])[-rows:],
    }

    def velocity(latents: sampler.Latents, time: np.float32) -> sampler.Latents:
        batch, times = np.repeat(latents, rows, axis=0), np.full(rows, time, np.float32)
        out = graph_runs.tiny_transformer().run(latents=batch, timestep=times, **given)
        return sampler.guide(out, guidance) if rows == 2 else out

    latents = sampler.denoise(vectors["in_latents"], int(vectors["steps"]), velocity, lambda: False)
    assert worst(latents, vectors["out_latents"]) < LATENTS
    assert worst(graph_runs.tiny_decoder().run(latents=latents), vectors["out_audio"]) < AUDIO


@pytest.mark.parametrize("case", CASES)
def test_the_sound_is_as_long_as_the_golden_one(case: str) -> None:
    vectors = golden(case)
    assert latent_length(int(vectors["video_frames_25fps"])) * 960 == vectors["out_audio"].shape[-1]
