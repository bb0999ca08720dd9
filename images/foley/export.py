"""HunyuanVideo-Foley baked: five graphs, the published encoders' files as they are, and the warm-up request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

from images.foley.clip import make_clip
from images.foley.nets import encoders, pipeline, published
from images.foley.nets.synchformer import Synchformer
from images.foley.nets.transformer import Transformer
from images.foley.sound import WAV, write_wav

if TYPE_CHECKING:
    from prebake.bake.export import Bake

Case = Mapping[str, Tensor]

PROMPT = "a rubber ball swings on a squeaking rope while the wind hums"
WARMUP_STEPS = 8
TOLERANCE = 1e-3
"""Of a sample of the warm-up's sound, in (-1, 1): what rounding grows to in ``WARMUP_STEPS`` guided steps."""


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
    video = make_clip()
    order = pipeline.Order(video=video, prompt=PROMPT, steps=WARMUP_STEPS)
    fields = {"video": bake.File("video.mp4", video), "prompt": PROMPT, "steps": WARMUP_STEPS}
    bake.reference(fields, write_wav(pipeline.generate(networks, order)), WAV, tolerance=TOLERANCE)


def _tokenizer(bake: Bake) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(bake.checkpoint / "clap", local_files_only=True)
    return lambda texts: tokenizer(texts, padding=True, return_tensors="pt")


def _export_clap(bake: Bake) -> encoders.ClapText:
    network = encoders.load_clap(bake.checkpoint / "clap")
    axes = {0: "batch", 1: "tokens"}
    cases = [_clap_case([9, 5]), _clap_case([4, 23])]
    bake.graph("clap", network, cases, ["hidden"], {"input_ids": axes, "attention_mask": axes})
    return network


def _clap_case(lengths: list[int]) -> Case:
    """Texts of these many tokens, padded with RoBERTa's id 1 to the longest."""
    places, ends = torch.arange(max(lengths))[None], torch.tensor(lengths)[:, None]
    mask = (places < ends).to(torch.int64)
    ids = (places * 37 + ends) % 250 + 4
    return {"input_ids": ids * mask + (1 - mask), "attention_mask": mask}


def _export_siglip2(bake: Bake) -> encoders.Siglip2Vision:
    network = encoders.load_siglip2(bake.checkpoint / "siglip2")
    cases = [{"pixels": _draw(count, 3, 512, 512)} for count in (3, 2)]
    bake.graph("siglip2", network, cases, ["features"], {"pixels": {0: "frames"}})
    return network


def _export_synchformer(bake: Bake) -> Synchformer:
    network = published.load_synchformer(bake.open_pickle(published.SYNCHFORMER))
    bake.convert("synchformer", network.state_dict())
    cases = [{"windows": _draw(count, 3, 16, 224, 224)} for count in (2, 3)]
    bake.graph("synchformer", network, cases, ["features"], {"windows": {0: "windows"}})
    return network


def _export_transformer(bake: Bake) -> Transformer:
    name = published.find_transformer(bake.checkpoint)
    network = published.load_transformer(bake.open_pickle(name), name)
    bake.convert("transformer", network.served_tensors())
    cases = [_transformer_case(network, 2, 24, 48, 9, 7), _transformer_case(network, 3, 31, 74, 12, 5)]
    dynamic = {
        "latents": {0: "batch", 2: "steps"},
        "timestep": {0: "batch"},
        "text": {0: "batch", 1: "tokens"},
        "visual": {0: "batch", 1: "frames"},
        "sync": {0: "batch", 1: "windows"},
        "conditional": {0: "batch"},
    }
    bake.graph("transformer", network, cases, ["velocity"], dynamic)
    return network


def _transformer_case(
    network: Transformer, windows: int, tokens: int, steps: int, frames: int, seed: int, rows: int = 2
) -> Case:
    sizes = network.config
    return {
        "latents": _draw(rows, sizes.latent, steps, seed=seed),
        "timestep": torch.linspace(980.0, 20.0, rows),
        "text": _draw(rows, tokens, sizes.text),
        "visual": _draw(rows, frames, sizes.visual),
        "sync": _draw(rows, windows, 8, sizes.sync),
        "conditional": torch.arange(rows) > 0,
    }


def _export_dac(bake: Bake) -> nn.Module:
    network = published.load_decoder(bake.open_pickle(published.VAE))
    bake.convert("dac", network.state_dict())
    channels = network.post_quant_conv.in_channels
    cases = [{"latents": _draw(rows, channels, steps)} for rows, steps in ((2, 12), (3, 31))]
    bake.graph("dac", network, cases, ["audio"], {"latents": {0: "batch", 2: "steps"}})
    return network


def _draw(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers of unit size; numpy's, so that the cases are the same on every machine."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))
