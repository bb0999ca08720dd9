"""Tokens, padding and places are those of diffusers' own transformer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ZImageTransformer2DModel

from images.zimage.noise import make_noise
from images.zimage.sequence import Part, caption_part, image_part, rope_table, unpatchify

SIZES = [(40, 8, 12), (32, 16, 8), (7, 10, 6), (100, 2, 2), (1, 32, 32)]
"""Words, and a latent's rows and columns: with padding and without."""


@pytest.fixture(scope="module")
def network(checkpoint: Path) -> Any:
    return ZImageTransformer2DModel.from_pretrained(checkpoint / "transformer", local_files_only=True)


@pytest.mark.parametrize(("words", "rows", "columns"), SIZES)
def test_a_sequence_is_diffusers_own(network: Any, words: int, rows: int, columns: int) -> None:
    latent, features = make_noise((16, rows, columns), 1), make_noise((words, 64), 2)
    image, caption, _, places, words_at, padding, no_words = network.patchify_and_embed(
        [torch.from_numpy(latent)[:, None]], [torch.from_numpy(features)], 2, 1
    )
    caption_ours = caption_part(features[None])
    image_ours = image_part(latent, 2, caption_ours)
    for ours, tokens, positions, mask in (
        (caption_ours, caption[0], words_at[0], no_words[0]),
        (image_ours, image[0], places[0], padding[0]),
    ):
        np.testing.assert_array_equal(ours.tokens[0], tokens)
        np.testing.assert_array_equal(ours.padding[0], mask)
        np.testing.assert_array_equal(ours.positions, positions[: len(tokens)])
        check_rope(network, ours)


def check_rope(network: Any, part: Part) -> None:
    config = network.config
    table = rope_table(part.positions, config.axes_dims, config.rope_theta)
    wanted = torch.view_as_real(network.rope_embedder(torch.from_numpy(part.positions)))
    assert table.dtype == np.float32
    assert np.abs(table[0] - wanted.numpy()).max() < 1e-6


@pytest.mark.parametrize(("words", "rows", "columns"), SIZES)
def test_a_latent_comes_back_from_its_tokens(words: int, rows: int, columns: int) -> None:
    latent = make_noise((16, rows, columns), 3)
    tokens = image_part(latent, 2, caption_part(make_noise((1, words, 64), 4))).tokens
    np.testing.assert_array_equal(unpatchify(tokens, latent.shape, 2), latent)
