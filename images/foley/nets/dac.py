"""The audio VAE (DAC family, continuous): 48 kHz mono sound to latents and back, 960 samples a latent step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

DILATIONS = (1, 3, 9)
LOGVAR_BOUNDS = (-30.0, 20.0)


@dataclass(frozen=True)
class DacConfig:
    """The constructor arguments that the published file carries in ``metadata.kwargs``."""

    encoder_dim: int
    encoder_rates: tuple[int, ...]
    latent_dim: int
    decoder_dim: int
    decoder_rates: tuple[int, ...]
    sample_rate: int

    @property
    def hop(self) -> int:
        """Samples of sound for each step of the latent."""
        return math.prod(self.decoder_rates)


def read_config(kwargs: Mapping[str, object]) -> DacConfig:
    """The configuration in ``metadata.kwargs``. Raises ValueError if this network does not support it."""
    wanted = {"encoder_dim", "encoder_rates", "latent_dim", "decoder_dim", "decoder_rates", "sample_rate"}
    missing = sorted(wanted - kwargs.keys())
    if missing:
        raise ValueError(f"The audio VAE's metadata.kwargs lacks {', '.join(missing)}: is it the published file?")
    if kwargs.get("continuous", True) is not True:
        raise ValueError("The audio VAE is quantized (continuous is not true); only the continuous one is supported.")
    return DacConfig(
        encoder_dim=_whole(kwargs["encoder_dim"]),
        encoder_rates=_rates(kwargs["encoder_rates"]),
        latent_dim=_whole(kwargs["latent_dim"]),
        decoder_dim=_whole(kwargs["decoder_dim"]),
        decoder_rates=_rates(kwargs["decoder_rates"]),
        sample_rate=_whole(kwargs["sample_rate"]),
    )


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError(f"The audio VAE's metadata.kwargs has {value!r} instead of a whole number.")
    return value


def _rates(value: object) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"The audio VAE's metadata.kwargs has {value!r} instead of a list of rates.")
    return tuple(_whole(rate) for rate in value)


class Snake(nn.Module):
    """``x + sin(alpha x)^2 / (alpha + 1e-9)``, a learned alpha for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        wave = torch.sin(self.alpha * x)
        return x + wave * wave / (self.alpha + 1e-9)


class ResidualUnit(nn.Module):
    """Snake, dilated convolution, snake, pointwise convolution, added to the input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Snake(channels),
            nn.Conv1d(channels, channels, 7, dilation=dilation, padding=3 * dilation),
            Snake(channels),
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.block(x)
        return out


class EncoderBlock(nn.Module):
    """Residual units, then ``rate`` times fewer steps and twice the channels."""

    def __init__(self, channels: int, rate: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            *(ResidualUnit(channels, dilation) for dilation in DILATIONS),
            Snake(channels),
            nn.Conv1d(channels, 2 * channels, 2 * rate, stride=rate, padding=math.ceil(rate / 2)),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out


class DecoderBlock(nn.Module):
    """``rate`` times more steps and half the channels, then residual units."""

    def __init__(self, channels: int, rate: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Snake(channels),
            nn.ConvTranspose1d(
                channels,
                channels // 2,
                2 * rate,
                stride=rate,
                padding=math.ceil(rate / 2),
                output_padding=rate % 2,
            ),
            *(ResidualUnit(channels // 2, dilation) for dilation in DILATIONS),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out


class _Decoder(nn.Module):
    def __init__(self, config: DacConfig) -> None:
        super().__init__()
        channels = [config.decoder_dim // 2**step for step in range(len(config.decoder_rates) + 1)]
        self.model = nn.Sequential(
            nn.Conv1d(config.latent_dim, channels[0], 7, padding=3),
            *(DecoderBlock(wide, rate) for wide, rate in zip(channels, config.decoder_rates, strict=False)),
            Snake(channels[-1]),
            nn.Conv1d(channels[-1], 1, 7, padding=3),
            nn.Tanh(),
        )


class _Encoder(nn.Module):
    def __init__(self, config: DacConfig) -> None:
        super().__init__()
        channels = [config.encoder_dim * 2**step for step in range(len(config.encoder_rates) + 1)]
        self.block = nn.Sequential(
            nn.Conv1d(1, channels[0], 7, padding=3),
            *(EncoderBlock(wide, rate) for wide, rate in zip(channels, config.encoder_rates, strict=False)),
            Snake(channels[-1]),
            nn.Conv1d(channels[-1], config.latent_dim, 3, padding=1),
        )


class DacDecoder(nn.Module):
    """Latents ``[B, L, N]`` to sound ``[B, 1, 960 N]`` in (-1, 1)."""

    def __init__(self, config: DacConfig) -> None:
        super().__init__()
        self.post_quant_conv = nn.Conv1d(config.latent_dim, config.latent_dim, 1)
        self.decoder = _Decoder(config)

    def forward(self, latents: Tensor) -> Tensor:
        out: Tensor = self.decoder.model(self.post_quant_conv(latents))
        return out


class DacEncoder(nn.Module):
    """Sound ``[B, 1, samples]`` to the mean and log-variance of its latents, each ``[B, L, N]``."""

    def __init__(self, config: DacConfig) -> None:
        super().__init__()
        self.hop = math.prod(config.encoder_rates)
        self.encoder = _Encoder(config)
        self.quant_conv = nn.Conv1d(config.latent_dim, 2 * config.latent_dim, 1)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        padded = nn.functional.pad(audio, (0, -audio.shape[-1] % self.hop))
        mean, logvar = self.quant_conv(self.encoder.block(padded)).chunk(2, dim=1)
        return mean, logvar.clamp(*LOGVAR_BOUNDS)


def fold_weight_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each pair ``weight_g``, ``weight_v`` as one ``weight``: ``g v / |v|``, the norm over all but the first axis.

    A half of a pair alone is left under its own name, for strict loading to report.
    """
    folded = dict(tensors)
    for name in tensors:
        stem, dot, last = name.rpartition(".")
        if last == "weight_g" and f"{stem}{dot}weight_v" in tensors:
            direction, size = folded.pop(f"{stem}{dot}weight_v").float(), folded.pop(name).float()
            axes = list(range(1, direction.ndim))
            folded[f"{stem}{dot}weight"] = direction * (size / direction.norm(dim=axes, keepdim=True))
    return folded


def halves(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The folded tensors of a published file, those of the decoder and those of the encoder.

    Raises ValueError, naming them, for tensors of neither.
    """
    parts: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
    strangers = []
    for name, tensor in fold_weight_norm(tensors).items():
        if name.startswith(("decoder.", "post_quant_conv.")):
            parts[0][name] = tensor
        elif name.startswith(("encoder.", "quant_conv.")):
            parts[1][name] = tensor
        else:
            strangers.append(name)
    if strangers:
        raise ValueError(
            f"The audio VAE has tensors that belong neither to its encoder nor to its decoder: {_list(strangers)}."
        )
    return parts


def _list(names: Sequence[str]) -> str:
    return ", ".join(sorted(names))
