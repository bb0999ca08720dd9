"""A checkpoint of the same architecture, from a seed, of any size; the published one exists only with 90 MB.

The tokenizer is the published one, which has as many words as the embedding here. The same seed gives the same bytes:
numpy's ``RandomState`` never changes its stream (NEP 19), and the document is written here and not by a library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from transformers import BertConfig, BertModel

from prebake.checkpoints.sample_scaling import FLOAT32_BYTES, find_minimum, width_for

HEAD_SIZE = 32


def write(folder: Path, seed: int, size: int | None = None) -> None:
    """Write ``config.json`` and ``model.safetensors`` into ``folder``: about 8 MB, or ``size`` bytes of weights."""
    config = configure(64, 2) if size is None else grow(size)
    stream = np.random.RandomState(seed)
    shapes = {name: tuple(tensor.shape) for name, tensor in _network(config).state_dict().items()}
    tensors = {name: _draw(stream, name, shapes[name]) for name in sorted(shapes)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(save(tensors, {"format": "pt"}))
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def grow(size: int) -> dict[str, Any]:
    """A width and a depth for this number of bytes."""
    width = width_for(size, full=1024, unit=HEAD_SIZE)

    def weigh(layers: int) -> int:
        tensors = _network(configure(width, layers)).state_dict().values()
        return sum(FLOAT32_BYTES * tensor.numel() for tensor in tensors)

    return configure(width, find_minimum(size, weigh))


def configure(width: int, layers: int) -> dict[str, Any]:
    """``config.json``: as published but for width and depth."""
    return {
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": width,
        "initializer_range": 0.02,
        "intermediate_size": 4 * width,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "model_type": "bert",
        "num_attention_heads": width // HEAD_SIZE,
        "num_hidden_layers": layers,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": 30522,
    }


def _network(config: Mapping[str, Any]) -> torch.nn.Module:
    with torch.device("meta"):
        network: torch.nn.Module = BertModel(BertConfig(**config))
    return network


def _draw(stream: np.random.RandomState, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Scaled so that signals keep about unit size."""
    noise = stream.standard_normal(shape)
    if name.endswith("LayerNorm.weight"):
        noise = 1.0 + 0.1 * noise
    elif noise.ndim < 2:
        noise = 0.05 * noise
    elif "_embeddings." not in name:
        noise = noise / math.sqrt(shape[1])
    return noise.astype(np.float32)
