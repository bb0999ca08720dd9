"""The pipeline's networks for graphs: one tensor for each input, and no complex numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

PATCH = "2-1"
"""The patch embedding that the pipeline uses: 2 x 2 places of one frame."""


class TextEncoder(torch.nn.Module):
    """The caption: the output of the layer before Qwen3's last."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens ``[1, tokens]``, int64, none of them padding; the caption is ``[1, tokens, features]``."""
        hidden: Tensor = self.encoder(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states[-2]
        return hidden

    def used_tensors(self) -> dict[str, Tensor]:
        """Without the last layer, whose output is not used."""
        last = f"layers.{self.encoder.config.num_hidden_layers - 1}."
        tensors = self.encoder.state_dict().items()
        return {name: tensor for name, tensor in tensors if name != "norm.weight" and not name.startswith(last)}


class RealRope:
    """Attention of diffusers' ``ZSingleStreamAttnProcessor``; turned by cosine and sine, since ONNX has no complex type."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: None = None,  # noqa: ARG002  (this and the next are the processors' port)
        attention_mask: None = None,  # noqa: ARG002
        freqs_cis: Tensor | None = None,
    ) -> Tensor:
        """hidden_states ``[1, tokens, features]``; freqs_cis ``[1, tokens, size / 2, 2]``, cosine and sine."""
        query, key, value = (
            project(hidden_states).unflatten(-1, (attn.heads, -1)) for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        if attn.norm_q is not None:
            query, key = attn.norm_q(query), attn.norm_k(key)
        if freqs_cis is not None:
            query, key = _turn(query, freqs_cis), _turn(key, freqs_cis)
        heads = (each.transpose(1, 2) for each in (query, key, value))
        mixed = functional.scaled_dot_product_attention(*heads)
        out: Tensor = attn.to_out[0](mixed.transpose(1, 2).flatten(2, 3))
        return out


def _turn(values: Tensor, rope: Tensor) -> Tensor:
    """Pairs of neighbours of ``[1, tokens, heads, size]``, turned by the angles of ``[1, tokens, size / 2, 2]``, in float32."""
    cosine, sine = rope[..., 0].unsqueeze(2), rope[..., 1].unsqueeze(2)
    first, second = values.reshape(*values.shape[:-1], -1, 2).unbind(-1)
    turned = torch.stack((first * cosine - second * sine, first * sine + second * cosine), -1).flatten(3)
    return turned.to(values.dtype)


class Transformer(torch.nn.Module):
    """``ZImageTransformer2DModel`` over tokens: the caller makes patches, places and padding.

    It replaces the processor of the network's own attention, so diffusers' forward no longer works afterwards.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        for block in (*network.noise_refiner, *network.context_refiner, *network.layers):
            block.attention.set_processor(RealRope())

    def forward(
        self,
        image: Tensor,
        image_padding: Tensor,
        image_rope: Tensor,
        caption: Tensor,
        caption_padding: Tensor,
        caption_rope: Tensor,
        time: Tensor,
    ) -> Tensor:
        """The velocity of the image's tokens, ``[1, tokens, features]`` like the tokens.

        image, caption ``[1, tokens, features]``; paddings ``[1, tokens]``, bool; ropes ``[1, tokens, size / 2, 2]``;
        time ``[1]`` in [0, 1).
        """
        net = self.network
        image, caption = image.to(net.x_pad_token.dtype), caption.to(net.x_pad_token.dtype)
        when = net.t_embedder(time * net.t_scale)
        tokens = torch.where(image_padding[..., None], net.x_pad_token, net.all_x_embedder[PATCH](image))
        for block in net.noise_refiner:
            tokens = block(tokens, None, image_rope, when)
        words = torch.where(caption_padding[..., None], net.cap_pad_token, net.cap_embedder(caption))
        for block in net.context_refiner:
            words = block(words, None, caption_rope)
        count = tokens.shape[1]
        tokens, rope = torch.cat([tokens, words], 1), torch.cat([image_rope, caption_rope], 1)
        for block in net.layers:
            tokens = block(tokens, None, rope, when)
        out: Tensor = net.all_final_layer[PATCH](tokens, c=when)
        return -out[:, :count]


class Decoder(torch.nn.Module):
    """The VAE's decoder with the pipeline's scaling before it and its clamping after it."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, latents: Tensor) -> Tensor:
        """latents ``[1, channels, rows, columns]``; the pixels are ``[1, height, width, 3]`` from 0 to 1."""
        config = self.vae.config
        scaled = (latents / config.scaling_factor + config.shift_factor).to(self.vae.dtype)
        decoded: Tensor = self.vae.decode(scaled, return_dict=False)[0].to(latents.dtype)
        return (decoded * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)

    def used_tensors(self) -> dict[str, Tensor]:
        """Without the encoder."""
        tensors = self.vae.state_dict().items()
        return {name: tensor for name, tensor in tensors if name.startswith(("decoder.", "post_quant_conv."))}
