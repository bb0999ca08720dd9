"""The four graphs in torch: the published networks, with the scaling right before and after them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class AudioEncoder(nn.Module):
    """A voice to a vector each 20 ms."""

    def __init__(self, wav2vec2: nn.Module, *, normalize: bool) -> None:
        super().__init__()
        self.wav2vec2 = wav2vec2
        self.normalize = normalize

    def forward(self, samples: Tensor) -> Tensor:
        """samples [1, n] at 16 kHz in -1..1; the features are [1, tokens, size]. Normalized as transformers'
        Wav2Vec2FeatureExtractor does it, where the checkpoint says so."""
        if self.normalize:
            centred = samples - samples.mean(dim=1, keepdim=True)
            samples = centred / torch.sqrt((centred * centred).mean(dim=1, keepdim=True) + 1e-7)
        features: Tensor = self.wav2vec2(samples).last_hidden_state
        return features


class Denoiser(nn.Module):
    """One step's prediction for some frames."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, latents: Tensor, face: Tensor, timestep: Tensor, audio: Tensor) -> Tensor:
        """latents and face [n, 4, 32, 32], timestep [1] int64, audio [n, tokens, size]; the prediction is as latents."""
        predicted: Tensor = self.unet(torch.cat([latents, face], dim=1), timestep, audio, return_dict=False)[0]
        return predicted


class FaceEncoder(nn.Module):
    """Pictures to latents: the mode of the encoder's distribution, scaled for the denoiser."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        self.scale = float(vae.config.scaling_factor)

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures [n, 256, 256, 3] uint8; the latents are [n, 4, 32, 32]."""
        values = pictures.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        latents: Tensor = self.vae.encode(values, return_dict=False)[0].mode() * self.scale
        return latents


class FaceDecoder(nn.Module):
    """Latents to pictures."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        self.scale = float(vae.config.scaling_factor)

    def forward(self, latents: Tensor) -> Tensor:
        """latents [n, 4, 32, 32]; the pictures are [n, 3, 256, 256] in 0..1."""
        values = self.vae.decode(latents / self.scale, return_dict=False)[0]
        pictures: Tensor = (values / 2 + 0.5).clamp(0, 1)
        return pictures
