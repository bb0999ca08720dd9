"""A latent and a caption as the transformer's input: tokens padded to multiples of 32, and a place for each.

It follows ``ZImageTransformer2DModel.patchify_and_embed`` of diffusers. The transformer replaces the padding by tokens of its
own, so the values of the padding do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MULTIPLE = 32
Floats = NDArray[np.float32]


class Part(NamedTuple):
    """One of the two parts of a sequence."""

    tokens: Floats
    """``[1, tokens, features]``."""
    padding: NDArray[np.bool_]
    """``[1, tokens]``: which tokens are padding."""
    positions: NDArray[np.int64]
    """``[tokens, 3]``: frame, row and column."""


def caption_part(features: Floats) -> Part:
    """Of a caption's features ``[1, tokens, features]``: frames 1, 2, …, padding counted."""
    tokens, padding = _pad(features)
    frames = np.arange(1, tokens.shape[1] + 1)
    return Part(tokens, padding, np.stack([frames, 0 * frames, 0 * frames], axis=1))


def image_part(latent: Floats, patch: int, caption: Part) -> Part:
    """Of a latent ``[channels, rows, columns]``: one frame after the caption's; padding is at frame 0."""
    tokens, padding = _pad(patchify(latent, patch)[None])
    rows, columns = latent.shape[1] // patch, latent.shape[2] // patch
    positions = np.zeros((tokens.shape[1], 3), dtype=np.int64)
    grid = np.indices((1, rows, columns)).reshape(3, -1).T
    positions[: rows * columns] = grid + np.array([caption.tokens.shape[1] + 1, 0, 0])
    return Part(tokens, padding, positions)


def patchify(latent: Floats, patch: int) -> Floats:
    """``[channels, rows, columns]`` to ``[tokens, patch * patch * channels]``."""
    channels, rows, columns = latent.shape
    cut = latent.reshape(channels, rows // patch, patch, columns // patch, patch)
    return cut.transpose(1, 3, 2, 4, 0).reshape(-1, patch * patch * channels)


def unpatchify(tokens: Floats, shape: tuple[int, int, int], patch: int) -> Floats:
    """The first tokens of ``[1, tokens, …]`` to a latent of ``shape``, channels first."""
    channels, rows, columns = shape
    count = rows * columns // patch**2
    cut = tokens[0, :count].reshape(rows // patch, columns // patch, patch, patch, channels)
    return np.ascontiguousarray(cut.transpose(4, 0, 2, 1, 3).reshape(shape))


def rope_table(positions: NDArray[np.int64], axes: Sequence[int], theta: float) -> Floats:
    """Cosine and sine of every angle that a token's queries and keys are turned by: ``[1, tokens, sum(axes) / 2, 2]``."""
    angles = []
    for axis, size in enumerate(axes):
        frequencies = 1.0 / theta ** (np.arange(0, size, 2, dtype=np.float64) / size)
        angles.append((positions[:, axis, None] * frequencies).astype(np.float32))
    every = np.concatenate(angles, axis=1)
    return np.stack([np.cos(every), np.sin(every)], axis=-1)[None]


def _pad(features: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    count = features.shape[1]
    more = -count % MULTIPLE
    padded = np.pad(features, ((0, 0), (0, more), (0, 0)), mode="edge")
    return padded, np.arange(count + more)[None] >= count
