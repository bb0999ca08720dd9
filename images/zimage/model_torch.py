"""Z-Image-Turbo's networks for targets that torch serves: the computation of the graphs, with the published weights unchanged.

``model.py`` computes noise, levels, prompts and places on the host, so that both runtimes give the same image for a seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_z_image import ZImageTransformer2DModel
from torch import Tensor
from transformers.models.qwen3.configuration_qwen3 import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3Model, Qwen3RotaryEmbedding

from entrypoints.contract import Network
from images.zimage.nets import Decoder, Transformer

BODY, HEAD = "model.", "lm_head."
"""The prefix of names in a causal language model, and its other tensors."""


class Caption(torch.nn.Module):
    """Qwen3 without its last layer and its norm: the caption is the output of the layer before the last."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens ``[1, tokens]``, int64, none of them padding; the caption is ``[1, tokens, features]``."""
        hidden: Tensor = self.encoder(input_ids=tokens, use_cache=False).last_hidden_state
        return hidden


def build(component: str, config: Mapping[str, Any]) -> Network:
    """The network of ``text_encoder``, ``transformer`` or ``vae``, built from its ``config.json``."""
    return {"text_encoder": _text_encoder, "transformer": _transformer, "vae": _vae}[component](config)


def _text_encoder(config: Mapping[str, Any]) -> Network:
    settings = Qwen3Config(**config)
    encoder, last = Qwen3Model(settings), f"layers.{settings.num_hidden_layers - 1}."
    encoder.layers, encoder.norm = encoder.layers[:-1], torch.nn.Identity()
    encoder.config.num_hidden_layers -= 1  # the number of layers that it runs
    with torch.device("cpu"):
        encoder.rotary_emb = Qwen3RotaryEmbedding(settings)  # frequencies, which no file has

    def rename(published: str) -> str | None:
        name = published.removeprefix(BODY)
        return None if name == "norm.weight" or name.startswith((last, HEAD)) else name

    return Network(Caption(encoder), encoder, ("caption",), rename, tuple(encoder.layers))


def _transformer(config: Mapping[str, Any]) -> Network:
    network = ZImageTransformer2DModel.from_config(dict(config))
    blocks = (*network.noise_refiner, *network.context_refiner, *network.layers)
    return Network(Transformer(network), network, ("velocity",), blocks=blocks)


def _vae(config: Mapping[str, Any]) -> Network:
    vae = AutoencoderKL.from_config(dict(config))
    del vae.encoder, vae.quant_conv

    def rename(published: str) -> str | None:
        return None if published.startswith(("encoder.", "quant_conv.")) else published

    return Network(Decoder(vae), vae, ("pixels",), rename)
