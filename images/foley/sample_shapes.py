"""The sample checkpoint's tensors and configurations: every name as published, every size small or as requested."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from images.foley.nets import dac as dac_net
from images.foley.nets import synchformer as synchformer_net
from images.foley.nets.transformer import Transformer, TransformerConfig
from prebake.checkpoints.sample_scaling import FLOAT32_BYTES, find_minimum, width_for

Shapes = dict[str, tuple[int, ...]]

IMAGE, SYNC = 64, 64
IMAGE_SIDE, PATCH = 512, 16
SYNCHFORMER = synchformer_net.SynchformerConfig(size=SYNC, blocks=2, heads=SYNC // synchformer_net.HEAD_SIZE)
DAC_KWARGS: dict[str, Any] = {
    "encoder_dim": 4,
    "encoder_rates": [2, 3, 4, 5, 8],
    "latent_dim": 128,
    "decoder_dim": 128,
    "decoder_rates": [8, 5, 4, 3, 2],
    "sample_rate": 48000,
    "continuous": True,
}
SIGLIP2_CONFIG: dict[str, Any] = {
    "architectures": ["SiglipModel"],
    "model_type": "siglip",
    "text_config": {
        "model_type": "siglip_text_model",
        "vocab_size": 64,
        "max_position_embeddings": 16,
        "hidden_size": IMAGE,
        "projection_size": IMAGE,
        "intermediate_size": 2 * IMAGE,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
    },
    "vision_config": {
        "model_type": "siglip_vision_model",
        "image_size": IMAGE_SIDE,
        "patch_size": PATCH,
        "hidden_size": IMAGE,
        "intermediate_size": 2 * IMAGE,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
    },
}
SIGLIP2_PREPROCESSOR: dict[str, Any] = {
    "do_convert_rgb": None,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": IMAGE_SIDE, "width": IMAGE_SIDE},
}
_CLAP_POSITIONS, _CLAP_PROJECTION = 514, 32


class Sizes(NamedTuple):
    """Widths and depths; as they are here, the sample has about 50 MB."""

    text: int = 96
    """CLAP's width."""
    clap_layers: int = 2
    width: int = 128
    """The transformer's."""
    triple_blocks: int = 2
    single_blocks: int = 2

    @property
    def transformer(self) -> TransformerConfig:
        return TransformerConfig(
            latent=128,
            text=self.text,
            visual=IMAGE,
            sync=SYNC,
            size=self.width,
            head_size=64,
            triple_blocks=self.triple_blocks,
            single_blocks=self.single_blocks,
        )


def grow(size: int, vocabulary: int) -> Sizes:
    """Widths and depths for this number of bytes: two fifths for CLAP, the rest for the transformer."""
    text, width = width_for(size, full=768, unit=48), width_for(size, full=768, unit=64)

    def weigh_clap(layers: int) -> int:
        return weigh(clap(vocabulary, Sizes(text, layers)))

    def weigh_transformer(blocks: int) -> int:
        return weigh(transformer(Sizes(text, 1, width, blocks, 2 * blocks)))

    blocks = find_minimum(size - size * 2 // 5, weigh_transformer)
    return Sizes(text, find_minimum(size * 2 // 5, weigh_clap), width, blocks, 2 * blocks)


def weigh(shapes: Shapes) -> int:
    """Bytes in float32."""
    return FLOAT32_BYTES * sum(math.prod(shape) for shape in shapes.values())


def transformer(sizes: Sizes) -> Shapes:
    """The diffusion transformer, with the published tensors that have no effect."""
    size = sizes.width
    with torch.device("meta"):
        shapes = _shapes(Transformer(sizes.transformer))
    shapes["final_layer.adaLN_modulation.1.weight"] = (2 * size, size)
    shapes["final_layer.adaLN_modulation.1.bias"] = (2 * size,)
    return shapes


def synchformer() -> Shapes:
    """The visual half, and a small tensor of each other part of the published file."""
    with torch.device("meta"):
        visual = _shapes(synchformer_net.Synchformer(SYNCHFORMER))
    visual |= {"patch_embed.proj.weight": (SYNC, 3, 16, 16), "patch_embed.proj.bias": (SYNC,)}
    return {f"{synchformer_net.PREFIX}{name}": shape for name, shape in visual.items()} | {
        "afeat_extractor.ast.encoder.layer.0.layernorm_before.weight": (8,),
        "afeat_extractor.ast.encoder.layer.0.layernorm_before.bias": (8,),
        "vproj.weight": (8, SYNC),
        "vproj.bias": (8,),
        "aproj.weight": (8, 8),
        "aproj.bias": (8,),
        "transformer.blocks.0.ln1.weight": (8,),
        "transformer.blocks.0.ln1.bias": (8,),
    }


def dac() -> Shapes:
    """Both halves of the audio VAE, weights of the convolutions apart by size and direction."""
    config = dac_net.read_config(DAC_KWARGS)
    with torch.device("meta"):
        folded = _shapes(dac_net.DacEncoder(config)) | _shapes(dac_net.DacDecoder(config))
    shapes: Shapes = {}
    for name, shape in folded.items():
        if name.endswith(".weight") and name.startswith(("encoder.", "decoder.")):
            shapes[f"{name}_g"], shapes[f"{name}_v"] = (shape[0], 1, 1), shape
        else:
            shapes[name] = shape
    return shapes


def siglip2() -> Shapes:
    """The image tower, and a word of the text tower, which is not used."""
    tower = _siglip2_embeddings() | {
        f"encoder.layers.{layer}.{name}": shape
        for layer in range(SIGLIP2_CONFIG["vision_config"]["num_hidden_layers"])
        for name, shape in _siglip2_layer().items()
    }
    tower |= {f"post_layernorm.{name}": (IMAGE,) for name in ("weight", "bias")} | _siglip2_head()
    rest: Shapes = {"logit_scale": (1,), "logit_bias": (1,), "text_model.final_layer_norm.weight": (IMAGE,)}
    return {f"vision_model.{name}": shape for name, shape in tower.items()} | rest


def _siglip2_embeddings() -> Shapes:
    return {
        "embeddings.patch_embedding.weight": (IMAGE, 3, PATCH, PATCH),
        "embeddings.patch_embedding.bias": (IMAGE,),
        "embeddings.position_embedding.weight": ((IMAGE_SIDE // PATCH) ** 2, IMAGE),
    }


def _siglip2_layer() -> Shapes:
    layer = _linear("mlp.fc1", IMAGE, 2 * IMAGE) | _linear("mlp.fc2", 2 * IMAGE, IMAGE)
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        layer |= _linear(f"self_attn.{name}", IMAGE, IMAGE)
    return layer | _norm("layer_norm1", IMAGE) | _norm("layer_norm2", IMAGE)


def _siglip2_head() -> Shapes:
    head: Shapes = {
        "head.probe": (1, 1, IMAGE),
        "head.attention.in_proj_weight": (3 * IMAGE, IMAGE),
        "head.attention.in_proj_bias": (3 * IMAGE,),
    }
    head |= _linear("head.attention.out_proj", IMAGE, IMAGE) | _norm("head.layernorm", IMAGE)
    return head | _linear("head.mlp.fc1", IMAGE, 2 * IMAGE) | _linear("head.mlp.fc2", 2 * IMAGE, IMAGE)


def clap(vocabulary: int, sizes: Sizes) -> Shapes:
    """The text tower with its projection, and a word of the audio tower, which is not used."""
    text = sizes.text
    tower: Shapes = {
        "embeddings.word_embeddings.weight": (vocabulary, text),
        "embeddings.position_embeddings.weight": (_CLAP_POSITIONS, text),
        "embeddings.token_type_embeddings.weight": (1, text),
    }
    tower |= _norm("embeddings.LayerNorm", text) | _linear("pooler.dense", text, text)
    for layer in range(sizes.clap_layers):
        tower |= {f"encoder.layer.{layer}.{name}": shape for name, shape in _clap_layer(text).items()}
    rest = _linear("text_projection.linear1", text, _CLAP_PROJECTION)
    rest |= _linear("text_projection.linear2", _CLAP_PROJECTION, _CLAP_PROJECTION)
    rest |= {"logit_scale_a": (1,), "logit_scale_t": (1,), "audio_model.audio_encoder.norm.weight": (8,)}
    return {f"text_model.{name}": shape for name, shape in tower.items()} | rest


def clap_tables() -> dict[str, NDArray[np.int64]]:
    """The counting tables of the text tower: its file has them, but they are not weights."""
    places = np.arange(_CLAP_POSITIONS, dtype=np.int64)[None]
    tables = {"position_ids": places, "token_type_ids": np.zeros_like(places)}
    return {f"text_model.embeddings.{name}": table for name, table in tables.items()}


def _clap_layer(text: int) -> Shapes:
    layer = _linear("attention.output.dense", text, text) | _norm("attention.output.LayerNorm", text)
    for name in ("query", "key", "value"):
        layer |= _linear(f"attention.self.{name}", text, text)
    layer |= _linear("intermediate.dense", text, 2 * text) | _linear("output.dense", 2 * text, text)
    return layer | _norm("output.LayerNorm", text)


def clap_config(vocabulary: int, sizes: Sizes) -> dict[str, Any]:
    """``config.json`` of a whole CLAP."""
    return {
        "architectures": ["ClapModel"],
        "model_type": "clap",
        "projection_dim": _CLAP_PROJECTION,
        "text_config": {
            "model_type": "clap_text_model",
            "vocab_size": vocabulary,
            "hidden_size": sizes.text,
            "intermediate_size": 2 * sizes.text,
            "num_hidden_layers": sizes.clap_layers,
            "num_attention_heads": sizes.text // 48,
            "max_position_embeddings": _CLAP_POSITIONS,
            "projection_dim": _CLAP_PROJECTION,
            "type_vocab_size": 1,
            "bos_token_id": 0,
            "pad_token_id": 1,
            "eos_token_id": 2,
        },
        "audio_config": {"model_type": "clap_audio_model"},
    }


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, size: int) -> Shapes:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _shapes(module: nn.Module) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
