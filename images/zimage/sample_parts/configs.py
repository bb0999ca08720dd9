"""The sample checkpoint's configurations: of the published classes, narrow and shallow, or of a requested size."""

from __future__ import annotations

from typing import Any, NamedTuple


class Sizes(NamedTuple):
    """Widths and depths; as they are here, the sample has about 3 MB."""

    words: int = 64
    """The text encoder's width, and that of its captions."""
    word_layers: int = 3
    width: int = 64
    """The transformer's."""
    layers: int = 2


MODEL_INDEX: dict[str, Any] = {
    "_class_name": "ZImagePipeline",
    "_diffusers_version": "0.36.0",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen3Model"],
    "tokenizer": ["transformers", "Qwen2Tokenizer"],
    "transformer": ["diffusers", "ZImageTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}

SCHEDULER: dict[str, Any] = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": False,
}

VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [16, 16, 32, 32],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "force_upcast": True,
    "in_channels": 3,
    "latent_channels": 16,
    "layers_per_block": 1,
    "mid_block_add_attention": True,
    "norm_num_groups": 8,
    "out_channels": 3,
    "sample_size": 1024,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "use_post_quant_conv": False,
    "use_quant_conv": False,
}


def transformer(sizes: Sizes) -> dict[str, Any]:
    """``transformer/config.json``."""
    return {
        "_class_name": "ZImageTransformer2DModel",
        "all_f_patch_size": [1],
        "all_patch_size": [2],
        "axes_dims": [8, 12, 12],
        "axes_lens": [1024, 512, 512],
        "cap_feat_dim": sizes.words,
        "dim": sizes.width,
        "in_channels": 16,
        "n_heads": sizes.width // 32,
        "n_kv_heads": sizes.width // 32,
        "n_layers": sizes.layers,
        "n_refiner_layers": 1,
        "norm_eps": 1e-5,
        "qk_norm": True,
        "rope_theta": 256.0,
        "t_scale": 1000.0,
    }


def text_encoder(tokens: int, sizes: Sizes) -> dict[str, Any]:
    """``text_encoder/config.json`` for a tokenizer of this size; the embedding has a few rows more, like Qwen's."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "dtype": "bfloat16",
        "head_dim": 16,
        "hidden_act": "silu",
        "hidden_size": sizes.words,
        "initializer_range": 0.02,
        "intermediate_size": 2 * sizes.words,
        "max_position_embeddings": 40960,
        "model_type": "qwen3",
        "num_attention_heads": sizes.words // 16,
        "num_hidden_layers": sizes.word_layers,
        "num_key_value_heads": sizes.words // 32,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_theta": 1000000, "rope_type": "default"},
        "tie_word_embeddings": True,
        "use_cache": True,
        "vocab_size": -(-tokens // 64) * 64,
    }
