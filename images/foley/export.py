"""HunyuanVideo-Foley baked: five graphs, the published encoders' files as they are, and the warm-up request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer

from images.foley.clip import make_clip
from images.foley.media.sound import WAV, write_wav
from images.foley.nets import encoders, pipeline, published
from images.foley.nets.dac import DacDecoder
from images.foley.nets.synchformer import Synchformer
from images.foley.nets.transformer import IN_FP32, Transformer

if TYPE_CHECKING:
    from prebake.bake.authoring import Bake

Case = Mapping[str, Tensor]

PROMPT = "a rubber ball swings on a squeaking rope while the wind hums"
WARMUP_STEPS, WARMUP_FRAMES = 3, 17
"""The shortest clip that gives one window, and few steps: each step runs the same graph on the same shapes."""

CLAP_AXES = {name: {0: "batch", 1: "tokens"} for name in ("input_ids", "attention_mask")}
SIGLIP2_AXES = {"pixels": {0: "frames"}}
SYNCHFORMER_AXES = {"windows": {0: "windows"}}
TRANSFORMER_AXES = {
    "latents": {0: "batch", 2: "steps"},
    "timestep": {0: "batch"},
    "text": {0: "batch", 1: "tokens"},
    "visual": {0: "batch", 1: "frames"},
    "sync": {0: "batch", 1: "windows"},
    "conditional": {0: "batch"},
}
TRANSFORMER_SIZES = ((2, 48, 24, 9, 7), (3, 74, 31, 12, 3))
"""Rows, latent steps, tokens, frames and windows. The second has lengths whose exact-integer tables would be wrong."""
DAC_AXES = {"latents": {0: "batch", 2: "steps"}}

TOLERANCE = 1e-3
"""The tolerance of a sample of the warm-up's sound, in (-1, 1): the rounding error after ``WARMUP_STEPS`` guided steps."""


def export(bake: Bake) -> None:
    """All components of ``image.yaml``; the answer to the warm-up request is torch's."""
    networks = pipeline.Networks(
        tokenize=_tokenizer(bake),
        clap=_export_clap(bake),
        siglip2=_export_siglip2(bake),
        synchformer=_export_synchformer(bake),
        transformer=_export_transformer(bake),
        decoder=_export_dac(bake),
    )
    video = make_clip(WARMUP_FRAMES)
    order = pipeline.Order(video=video, prompt=PROMPT, steps=WARMUP_STEPS)
    fields: dict[str, Any] = {"video": bake.File("video.mp4", video), "prompt": PROMPT, "steps": WARMUP_STEPS}
    bake.reference(fields, write_wav(pipeline.generate(networks, order)), WAV, tolerance=TOLERANCE)


def _tokenizer(bake: Bake) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(bake.checkpoint / "clap", local_files_only=True)
    return lambda texts: tokenizer(texts, padding=True, return_tensors="pt")


def _export_clap(bake: Bake) -> encoders.ClapText:
    network = encoders.load_clap(bake.checkpoint / "clap")
    cases = [clap_case([9, 5]), clap_case([4, 23])]
    bake.graph("clap", network, cases, ["hidden"], CLAP_AXES)
    return network


def _export_siglip2(bake: Bake) -> encoders.Siglip2Vision:
    network = encoders.load_siglip2(bake.checkpoint / "siglip2")
    cases = [{"pixels": draw(count, 3, 512, 512)} for count in (3, 2)]
    bake.graph("siglip2", network, cases, ["features"], SIGLIP2_AXES)
    return network


def _export_synchformer(bake: Bake) -> Synchformer:
    network = published.load_synchformer(bake.open_pickle(published.SYNCHFORMER))
    bake.convert("synchformer", network.state_dict())
    cases = [{"windows": draw(count, 3, 16, 224, 224)} for count in (2, 3)]
    bake.graph("synchformer", network, cases, ["features"], SYNCHFORMER_AXES)
    return network


def _export_transformer(bake: Bake) -> Transformer:
    name = published.find_transformer(bake.checkpoint)
    network = published.load_transformer(bake.open_pickle(name), name)
    bake.convert("transformer", network.served_tensors())
    cases = [transformer_case(network, *sizes) for sizes in TRANSFORMER_SIZES]
    bake.graph("transformer", network, cases, ["velocity"], TRANSFORMER_AXES, keep_in_fp32=IN_FP32)
    return network


def _export_dac(bake: Bake) -> DacDecoder:
    network = published.load_decoder(bake.open_pickle(published.VAE))
    bake.convert("dac", network.state_dict())
    bake.graph("dac", network, dac_cases(network), ["audio"], DAC_AXES)
    return network


def clap_case(lengths: list[int]) -> Case:
    """Texts with these numbers of tokens, padded with RoBERTa's id 1 to the longest."""
    places, ends = torch.arange(max(lengths))[None], torch.tensor(lengths)[:, None]
    mask = (places < ends).to(torch.int64)
    ids = (places * 37 + ends) % 100 + 4
    return {"input_ids": ids * mask + (1 - mask), "attention_mask": mask}


def transformer_case(network: Transformer, rows: int, steps: int, tokens: int, frames: int, windows: int) -> Case:
    """Random inputs; the first row is an unconditional one."""
    sizes = network.config
    return {
        "latents": draw(rows, sizes.latent, steps),
        "timestep": torch.linspace(980.0, 20.0, rows),
        "text": draw(rows, tokens, sizes.text),
        "visual": draw(rows, frames, sizes.visual),
        "sync": draw(rows, windows, 8, sizes.sync),
        "conditional": torch.arange(rows) > 0,
    }


def dac_cases(network: DacDecoder) -> list[Case]:
    """Latents of two lengths."""
    channels = network.post_quant_conv.in_channels
    return [{"latents": draw(rows, channels, steps)} for rows, steps in ((2, 12), (3, 31))]


def draw(*shape: int) -> Tensor:
    """Random numbers of unit size, from numpy, so that the cases are the same on every machine."""
    return torch.from_numpy(np.random.RandomState(len(shape)).standard_normal(shape).astype(np.float32))
