"""The whole model in torch, from a request to its sound: the reference for the served graphs."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import av
import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from images.foley.media.frames import IMAGE_RATE, LONGEST, STRIDE, SYNC_RATE, WINDOW, Clock, latent_length
from images.foley.nets.dac import DacDecoder
from images.foley.nets.transformer import Transformer
from images.foley.sampler import make_noise

IMAGE_SIDE, SYNC_SIDE = 512, 224
LONGEST_TEXT = 77
WINDOWS_AT_ONCE = 8

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Networks:
    """The five networks as functions that return a tensor, and the tokenizer."""

    tokenize: Callable[[list[str]], Any]
    """Two texts to a mapping of ``input_ids`` and ``attention_mask``, padded to the longer."""
    clap: Callable[[Tensor, Tensor], Tensor]
    siglip2: Callable[[Tensor], Tensor]
    synchformer: Callable[[Tensor], Tensor]
    transformer: Transformer
    decoder: DacDecoder


@dataclass(frozen=True)
class Order:
    """A request; the defaults are the published ones."""

    video: bytes
    prompt: str
    negative_prompt: str = "noisy, harsh"
    steps: int = 50
    guidance: float = 4.5
    seed: int = 1


@torch.inference_mode()
def generate(networks: Networks, order: Order) -> NDArray[np.float32]:
    """The sound for ``order``: samples ``[n]`` at 48 kHz, in (-1, 1)."""
    images, syncs = read_views(order.video)
    text = _embed_texts(networks, [order.negative_prompt, order.prompt])
    visual = networks.siglip2(images)[None]
    sync = torch.cat([networks.synchformer(some) for some in torch.split(_windows(syncs), WINDOWS_AT_ONCE)])[None]
    latents = torch.from_numpy(make_noise(networks.transformer.config.latent, latent_length(len(syncs)), order.seed))
    latents = denoise(networks.transformer, latents, (text, visual, sync), order)
    samples: NDArray[np.float32] = networks.decoder(latents).flatten().numpy()
    return samples


def _embed_texts(networks: Networks, texts: list[str]) -> Tensor:
    tokens = networks.tokenize(texts)
    return networks.clap(tokens["input_ids"], tokens["attention_mask"])[:, :LONGEST_TEXT]


def denoise(transformer: Transformer, latents: Tensor, features: Sequence[Tensor], order: Order) -> Tensor:
    """Euler steps down to time 0; with guidance, the unconditional row comes before the conditional one."""
    rows = 2 if order.guidance > 1 else 1
    text, visual, sync = (feature[-rows:].expand(rows, *feature.shape[1:]) for feature in features)
    conditional = torch.tensor([False, True])[-rows:]
    sigmas = torch.linspace(1, 0, order.steps + 1)
    for sigma, following in pairwise(sigmas):
        batch, time = latents.expand(rows, -1, -1), (1000.0 * sigma).expand(rows)
        velocity = transformer(batch, time, text, visual, sync, conditional)
        if rows == 2:
            velocity = velocity[:1] + order.guidance * (velocity[1:] - velocity[:1])
        latents = latents + velocity * (following - sigma)
    return latents


def read_views(video: bytes) -> tuple[Tensor, Tensor]:
    """The clip at 8 frames a second, ``[M, 3, 512, 512]``, and at 25, ``[F, 3, 224, 224]``, both in [-1, 1]."""
    image_clock, sync_clock = Clock(IMAGE_RATE), Clock(SYNC_RATE)
    images: list[Tensor] = []
    syncs: list[Tensor] = []
    for time, frame in _read_frames(video):
        images += [scale_image(frame)] * image_clock.take(time)
        syncs += [scale_sync(frame)] * sync_clock.take(time)
    return torch.stack(images), torch.stack(syncs)


def _read_frames(video: bytes) -> Iterator[tuple[float, Frames]]:
    with av.open(io.BytesIO(video)) as container:
        for frame in container.decode(video=0):
            if frame.time > LONGEST:
                return
            yield frame.time, frame.to_ndarray(format="rgb24")


def scale_image(frame: Frames) -> Tensor:
    """``[height, width, 3]`` to ``[3, 512, 512]``, the aspect ratio not kept, by Pillow's antialiased bilinear."""
    picture = PIL.Image.fromarray(frame).resize((IMAGE_SIDE, IMAGE_SIDE), PIL.Image.Resampling.BILINEAR)
    return _normalize(torch.from_numpy(np.array(picture)).permute(2, 0, 1))


def scale_sync(frame: Frames) -> Tensor:
    """``[height, width, 3]`` to ``[3, 224, 224]``: short side to 224 by antialiased bicubic in 8 bits, center crop."""
    pixels = torch.from_numpy(frame).permute(2, 0, 1)[None]
    height, width = (int(SYNC_SIDE * side / min(frame.shape[:2])) for side in frame.shape[:2])
    resized = functional.interpolate(pixels, (height, width), mode="bicubic", antialias=True)[0]
    top, left = round((height - SYNC_SIDE) / 2), round((width - SYNC_SIDE) / 2)
    return _normalize(resized[:, top : top + SYNC_SIDE, left : left + SYNC_SIDE])


def _normalize(pixels: Tensor) -> Tensor:
    return (pixels.float() / 255 - 0.5) / 0.5


def _windows(frames: Tensor) -> Tensor:
    """``[F, 3, 224, 224]`` to windows ``[n, 3, 16, 224, 224]``, each half over the next; a remainder is dropped."""
    return frames.unfold(0, WINDOW, STRIDE).permute(0, 1, 4, 2, 3)
