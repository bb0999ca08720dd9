"""A checkpoint of the same architecture, from a seed: small, for CI and a first try, or of a requested size.

The files have the published layouts; the networks are narrow and shallow by default, and do not draw a face. The same seed
gives the same bytes: numpy's ``RandomState`` never changes its stream (NEP 19), and the documents are written here and not
by a library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from prebake.checkpoints.sample_scaling import FLOAT32_BYTES, find_minimum, width_for

WAV2VEC2: dict[str, Any] = {
    "architectures": ["Wav2Vec2Model"],
    "model_type": "wav2vec2",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": [16] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "num_feat_extract_layers": 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "group",
    "do_stable_layer_norm": False,
    "vocab_size": 32,
}
EXTRACTOR: dict[str, Any] = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "do_normalize": True,
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": False,
    "sampling_rate": 16000,
}
UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 32,
    "in_channels": 8,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": [16, 32],
    "norm_num_groups": 8,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
}
VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "sample_size": 256,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "scaling_factor": 0.18215,
    "layers_per_block": 1,
    "block_out_channels": [8, 8, 16, 16],
    "norm_num_groups": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
SCHEDULER: dict[str, Any] = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}
INDEX: dict[str, Any] = {
    "_class_name": "HeyGemPipeline",
    "audio_window": 4,
    "wav2vec2": ["transformers", "Wav2Vec2Model"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "scheduler": ["diffusers", "DDIMScheduler"],
}
LOUDNESS = 8.0
"""The weight of the sound in the denoiser relative to the rest, so that it has a visible effect."""


def write(folder: Path, seed: int, size: int | None = None) -> None:
    """Write the checkpoint's nine files into ``folder``: about 2 MB, or ``size`` bytes of weights.

    Larger ones hear and paint with wider and deeper networks, the wide parts at small resolutions; the VAE stays as small.
    """
    wav2vec2, unet = (WAV2VEC2, UNET) if size is None else grow(size)
    write_networks(folder, wav2vec2, unet, seed)


def write_networks(folder: Path, wav2vec2: Mapping[str, Any], unet: Mapping[str, Any], seed: int) -> None:
    """The nine files with these networks and the small VAE; the denoiser's attention has the width of wav2vec2's layers."""
    from diffusers import AutoencoderKL

    _write_json(folder / "model_index.json", INDEX)
    _write_json(folder / "scheduler/scheduler_config.json", SCHEDULER)
    _write_json(folder / "wav2vec2/preprocessor_config.json", EXTRACTOR)
    _write_network(folder / "wav2vec2/model.safetensors", wav2vec2, _listener(wav2vec2), seed)
    weights = "diffusion_pytorch_model.safetensors"
    _write_network(folder / "unet" / weights, unet, _denoiser(unet), seed)
    _write_network(folder / "vae" / weights, VAE, AutoencoderKL.from_config(VAE), seed)


def grow(size: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configurations of wav2vec2 and the denoiser for this number of bytes: three fifths, and the rest.

    A short voice is few tokens for wav2vec2, but every step of every frame goes through the denoiser.
    """
    width = width_for(size, full=1024, unit=32)

    def wav2vec2(layers: int) -> dict[str, Any]:
        sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": width // 32}
        return {**WAV2VEC2, **sizes, "num_hidden_layers": layers}

    def unet(widest: int) -> dict[str, Any]:
        return {
            **UNET,
            "block_out_channels": [16, 32, 32, 32, 32 * widest],
            "down_block_types": ["DownBlock2D"] * 4 + ["CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D"] + ["UpBlock2D"] * 4,
            "cross_attention_dim": width,
        }

    layers = find_minimum(size * 3 // 5, lambda layers: weigh(_listener(wav2vec2(layers))))
    return wav2vec2(layers), unet(find_minimum(size - size * 3 // 5, lambda widest: weigh(_denoiser(unet(widest)))))


def weigh(network: Any) -> int:
    """Bytes of a network's tensors in float32."""
    return sum(FLOAT32_BYTES * math.prod(tensor.shape) for tensor in network.state_dict().values())


def _listener(config: Mapping[str, Any]) -> Any:
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    with torch.device("meta"):
        return Wav2Vec2Model(Wav2Vec2Config(**config))


def _denoiser(config: Mapping[str, Any]) -> Any:
    import torch
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel.from_config(config)


def _write_network(path: Path, config: Mapping[str, Any], network: Any, seed: int) -> None:
    """The tensors' names and shapes are the library's own; their values are drawn in the order of their names."""
    _write_json(path.with_name("config.json"), config)
    stream = np.random.RandomState(seed)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    tensors = {name: _draw(stream, name, shapes[name]) for name in sorted(shapes)}
    path.write_bytes(save(tensors, {"format": "pt"}))


def _draw(stream: np.random.RandomState, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Scaled so that signals keep about unit size."""
    noise = stream.standard_normal(shape)
    return (_scale(name, noise) * (LOUDNESS if ".attn2.to_out." in name else 1.0)).astype(np.float32)


def _scale(name: str, noise: NDArray[Any]) -> NDArray[Any]:
    if name.endswith("original0"):  # the length of a weight-normed convolution's kernel
        return 0.1 + 0.01 * noise.clip(-3, 3)
    if name == "feature_extractor.conv_layers.0.layer_norm.bias":  # so that a quiet sound is not made a loud one
        return noise
    if name.endswith("weight") and noise.ndim == 1:
        return 1.0 + 0.1 * noise
    if noise.ndim < 2:
        return 0.05 * noise
    return noise / math.sqrt(math.prod(noise.shape[1:]))


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
