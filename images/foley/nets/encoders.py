"""The two published encoders, each reduced to the tower and the output that the model uses."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import ClapTextConfig, ClapTextModel, SiglipVisionConfig, SiglipVisionModel

from images.foley.nets.loading import load, select

CLAP_TOWER, SIGLIP2_TOWER = "text_model.", "vision_model."
CLAP_UNUSED = ("pooler.",)
CLAP_TABLES = ("embeddings.position_ids", "embeddings.token_type_ids")
"""Counting tables that some releases of the file hold and some do not; the network makes its own."""


class ClapText(nn.Module):
    """CLAP's text tower: tokens to their last hidden states, before any pooling or projection."""

    def __init__(self, config: ClapTextConfig) -> None:
        super().__init__()
        # Written-out attention: of the same values, and exported without the mask machinery of the fused kinds.
        config._attn_implementation = "eager"
        self.tower = ClapTextModel(config, add_pooling_layer=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """``input_ids`` and ``attention_mask``, int64 ``[B, T]``, to ``[B, T, .]``, rows of padding included."""
        return cast(Tensor, self.tower(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state)


class Siglip2Vision(nn.Module):
    """SigLIP2's image tower: pixels to one vector an image, from the attention-pooling head, not normalized."""

    def __init__(self, config: SiglipVisionConfig) -> None:
        super().__init__()
        config._attn_implementation = "sdpa"
        self.tower = SiglipVisionModel(config)

    def forward(self, pixels: Tensor) -> Tensor:
        """``pixels [B, 3, side, side]`` in [-1, 1] to ``[B, .]``."""
        return cast(Tensor, self.tower(pixel_values=pixels).pooler_output)


def load_clap(folder: Path) -> ClapText:
    """From ``config.json`` and ``model.safetensors`` of a whole CLAP. Raises TensorsDiffer."""
    model = ClapText(ClapTextConfig.from_pretrained(folder))
    tensors = select(load_file(folder / "model.safetensors"), CLAP_TOWER)
    load(model.tower, tensors, f"{folder}/model.safetensors", (*CLAP_UNUSED, *CLAP_TABLES))
    return model.eval()


def load_siglip2(folder: Path) -> Siglip2Vision:
    """From ``config.json`` and ``model.safetensors`` of a whole SigLIP2. Raises TensorsDiffer."""
    model = Siglip2Vision(SiglipVisionConfig.from_pretrained(folder))
    tensors = select(load_file(folder / "model.safetensors"), SIGLIP2_TOWER)
    load(model.tower, tensors, f"{folder}/model.safetensors")
    return model.eval()
