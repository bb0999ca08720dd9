"""Tiny pipelines of diffusers' own classes with random weights, as ``save_pretrained`` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TRAINED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}


def write_unconditional(
    folder: Path, scheduler: Any = None, pipeline: Any = DDPMPipeline, *, half: bool = False
) -> None:
    """Grey pictures of 16 x 24."""
    torch.manual_seed(2)
    unet = UNet2DModel(
        sample_size=(16, 24), in_channels=1, out_channels=1, block_out_channels=(8, 16), layers_per_block=1,
        norm_num_groups=4, attention_head_dim=4, down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    unet = unet.half() if half else unet
    pipeline(unet=unet, scheduler=scheduler or DDPMScheduler(num_train_timesteps=60)).save_pretrained(folder)


def write_implicit(folder: Path) -> None:
    """Its weights are of half precision."""
    write_unconditional(folder, DDIMScheduler(), DDIMPipeline, half=True)


def write_text_to_image(folder: Path, scheduler: Any = None, *, half: bool = False) -> None:
    """Pictures of 32 x 32 by sentences of up to 24 tokens. ``half``: the text encoder's weights are of half precision."""
    torch.manual_seed(2)
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=16,
        attention_head_dim=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    tokenizer = write_tokenizer(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPTextConfig(vocab_size=len(tokenizer), max_position_embeddings=24, **sizes, **ends)
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(config).half() if half else CLIPTextModel(config),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler or PNDMScheduler(**TRAINED, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def write_tokenizer(folder: Path) -> CLIPTokenizer:
    """Byte pairs as CLIP has them: single bytes, and a few words."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(ByteLevel.alphabet())
    merges = ["t h", "th e</w>", "r i", "ri v", "l i", "o f</w>"]
    whole = [merge.replace(" ", "") for merge in merges]
    vocabulary = [*letters, *(f"{each}</w>" for each in letters), *whole, "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({each: number for number, each in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=24)
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()
    return tokenizer
