"""A checkpoint of the same classes, from a seed: small, for CI and a first try, or of a requested size.

Files have the published names, formats, tensor names and types (the transformer float32, text encoder and VAE bfloat16),
and come in parts with an index where the published ones do; the pictures are noise. The same seed gives the same bytes:
numpy's ``RandomState`` never changes its stream (NEP 19), and the documents are written here and not by a library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from numpy.typing import NDArray
from safetensors.torch import save
from transformers import Qwen3Config, Qwen3Model

from images.zimage.sample_parts import configs, tokenizer
from images.zimage.sample_parts.configs import Sizes
from prebake.checkpoints.sample_scaling import FLOAT32_BYTES, find_minimum, width_for

PARTS = 2
Tensors = dict[str, torch.Tensor]


def write(folder: Path, seed: int, size: int | None = None) -> None:
    """Write the pipeline into ``folder``: about 3 MB, or ``size`` bytes of weights as they are computed with, in float32.

    Larger ones are wider and deeper; their prompts, pictures and VAE stay as small.
    """
    words = tokenizer.make()
    tokens = len(words.vocabulary) + len(tokenizer.SPECIAL)
    sizes = Sizes() if size is None else grow(size, tokens)
    config, transformer = configs.text_encoder(tokens, sizes), configs.transformer(sizes)
    _write_json(folder / "model_index.json", configs.MODEL_INDEX)
    _write_json(folder / "scheduler/scheduler_config.json", configs.SCHEDULER)
    _write_tokenizer(folder / "tokenizer", words)
    _write_json(folder / "text_encoder/config.json", config)
    _write_json(folder / "transformer/config.json", transformer)
    _write_json(folder / "vae/config.json", configs.VAE)
    _write_weights(folder, seed, config, transformer)


def grow(size: int, tokens: int) -> Sizes:
    """Widths and depths for this number of bytes: three quarters for the text encoder, the rest for the transformer.

    The text encoder works once for a prompt, but every step of every image goes through the transformer.
    """
    words, width = width_for(size, full=1536, unit=32), width_for(size, full=1024, unit=32)

    def weigh_encoder(used: int) -> int:
        """Without the last layer, which no caption needs."""
        return weigh(_encoder(configs.text_encoder(tokens, Sizes(words, used))))

    def weigh_transformer(layers: int) -> int:
        return weigh(_transformer(configs.transformer(Sizes(words, 1, width, layers))))

    return Sizes(
        words, find_minimum(size - size // 4, weigh_encoder) + 1, width, find_minimum(size // 4, weigh_transformer)
    )


def weigh(module: torch.nn.Module) -> int:
    """Bytes of a module's tensors in float32."""
    return sum(FLOAT32_BYTES * tensor.numel() for tensor in module.state_dict().values())


def _encoder(config: Mapping[str, Any]) -> torch.nn.Module:
    with torch.device("meta"):
        network: torch.nn.Module = Qwen3Model(Qwen3Config(**config))
    return network


def _transformer(config: Mapping[str, Any]) -> torch.nn.Module:
    with torch.device("meta"):
        network: torch.nn.Module = ZImageTransformer2DModel.from_config(config)
    return network


def _write_weights(folder: Path, seed: int, config: Mapping[str, Any], transformer: Mapping[str, Any]) -> None:
    with torch.device("meta"):
        vae = AutoencoderKL.from_config(configs.VAE)
    # The names in the causal language model that the encoder comes from.
    words = {f"model.{name}": tensor for name, tensor in draw(_encoder(config), seed, torch.bfloat16).items()}
    _write_parts(folder / "text_encoder", "model", words)
    weights = draw(_transformer(transformer), seed, torch.float32)
    _write_parts(folder / "transformer", "diffusion_pytorch_model", weights)
    _write_bytes(
        folder / "vae/diffusion_pytorch_model.safetensors", save(draw(vae, seed, torch.bfloat16), {"format": "pt"})
    )


def draw(module: torch.nn.Module, seed: int, dtype: torch.dtype) -> Tensors:
    """Every tensor of a module, one stream of random numbers for all, each scaled so that signals keep about unit size."""
    stream = np.random.RandomState(seed)
    shapes = {name: tuple(tensor.shape) for name, tensor in sorted(module.state_dict().items())}
    return {
        name: torch.from_numpy(_scale(name, stream.standard_normal(shape)).astype(np.float32)).to(dtype)
        for name, shape in shapes.items()
    }


def _scale(name: str, noise: NDArray[Any]) -> NDArray[Any]:
    if name.endswith("bias"):
        return 0.05 * noise
    if noise.ndim == 1:  # a normalization's
        return 1 + 0.1 * noise
    if name.endswith("pad_token") or "embed_tokens" in name:
        return 0.5 * noise
    return noise / math.sqrt(math.prod(noise.shape[1:]))


def _write_parts(folder: Path, stem: str, tensors: Tensors) -> None:
    """In ``PARTS`` files with their index, as ``save_pretrained`` names them."""
    names, size = sorted(tensors), -(-len(tensors) // PARTS)
    places = {name: f"{stem}-{place // size + 1:05d}-of-{PARTS:05d}.safetensors" for place, name in enumerate(names)}
    for file in sorted(set(places.values())):
        part = {name: tensors[name] for name in names if places[name] == file}
        _write_bytes(folder / file, save(part, {"format": "pt"}))
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    _write_json(folder / f"{stem}.safetensors.index.json", index)


def _write_tokenizer(folder: Path, words: tokenizer.Words) -> None:
    _write_json(folder / "tokenizer.json", tokenizer.tokenizer(words))
    _write_json(folder / "tokenizer_config.json", tokenizer.tokenizer_config(words))
    _write_json(folder / "vocab.json", words.vocabulary)
    merges = ["#version: 0.2", *(" ".join(merge) for merge in words.merges)]
    _write_bytes(folder / "merges.txt", ("\n".join(merges) + "\n").encode())


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    _write_bytes(path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


def _write_bytes(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
