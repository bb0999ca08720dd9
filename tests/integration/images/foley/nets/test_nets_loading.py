"""Strict loading: every fault of a file in one error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from images.foley.nets import loading, published
from tests.support.foley import networks
from tests.support.foley.fill import fill


def test_every_fault_is_told_at_once() -> None:
    tensors = networks.filled(networks.tensor_list("mmdit_tiny")[1])
    del tensors["time_in.mlp.0.bias"], tensors["triple_blocks.1.audio_mlp.fc1.weight"]
    tensors["single_blocks.2.linear1.weight"] = torch.zeros(64, 64, 5)
    tensors["repa_head.weight"] = torch.zeros(2, 3)
    with pytest.raises(loading.TensorsDiffer) as caught:
        published.load_transformer(tensors, "hunyuanvideo_foley_xl.pth")
    assert str(caught.value).splitlines() == [
        "hunyuanvideo_foley_xl.pth: 4 of its tensors are not those of Transformer:",
        "  unexpected repa_head.weight [2, 3]",
        "  mis-shaped single_blocks.2.linear1.weight [64, 64, 5], expected [64, 64, 3]",
        "  missing time_in.mlp.0.bias [64]",
        "  missing triple_blocks.1.audio_mlp.fc1.weight [256, 64]",
        "Is this the published file, whole, and of this model?",
    ]


def test_a_file_of_something_else_is_told_by_what_it_lacks() -> None:
    with pytest.raises(
        loading.TensorsDiffer, match=r"missing audio_embedder\.proj\.weight\n.*\n  missing empty_clip_feat"
    ):
        published.load_transformer({"weight": torch.zeros(1)}, "other.pth")


def test_half_precision_becomes_float32_and_float32_is_not_copied() -> None:
    module, tensors = nn.Linear(3, 2), {"weight": torch.ones(2, 3), "bias": torch.ones(2, dtype=torch.bfloat16)}
    loading.load(module, tensors, "file")
    assert module.weight.data_ptr() == tensors["weight"].data_ptr()
    assert module.bias.dtype == torch.float32
    assert not module.training
    assert not module.weight.requires_grad


def test_one_transformer_is_chosen(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"one of hunyuanvideo_foley\.pth and hunyuanvideo_foley_xl\.pth"):
        published.find_transformer(tmp_path)
    (tmp_path / "hunyuanvideo_foley.pth").touch()
    assert published.find_transformer(tmp_path) == "hunyuanvideo_foley.pth"


def test_the_golden_weights_are_unchanged() -> None:
    """Numbers of the frozen stream, so that a slip in the rule is told from a slip in a network."""
    expected = {"a.weight": 0.02705, "a.bias": 0.00176, "a.alpha": 0.92659, "a.weight_g": 0.8031, "free": 0.04563}
    shapes = {"a.weight": (4, 3), "a.bias": (4,), "a.alpha": (1, 4, 1), "a.weight_g": (4, 1, 1), "free": (1, 4)}
    found = {name: round(float(np.ravel(fill(name, shapes[name]))[-1]), 5) for name in expected}
    assert found == expected
