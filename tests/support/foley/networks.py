"""The golden vectors and the networks they belong to, with weights by the rule of ``fill``."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import ClapTextConfig, SiglipVisionConfig

from images.foley.nets import dac, encoders, loading, published, synchformer
from images.foley.nets.transformer import Transformer
from tests.support.foley.fill import fill
from tests.support.repository import ROOT

HERE = ROOT / "tests/support/foley"

Shapes = dict[str, tuple[int, ...]]
Golden = dict[str, NDArray[Any]]


def golden(name: str) -> Golden:
    with np.load(HERE / "golden" / f"{name}.npz") as file:
        return dict(file)


def tensor_list(name: str) -> tuple[dict[str, Any], Shapes]:
    """A list's configuration and its shapes, those of integer tables left out."""
    document = json.loads((HERE / "tensors" / f"{name}.json").read_bytes())
    floats = {key: value for key, value in document["tensors"].items() if value["dtype"] != "int64"}
    return document["config"], {key: tuple(value["shape"]) for key, value in floats.items()}


def filled(shapes: Shapes) -> dict[str, Tensor]:
    return {name: torch.from_numpy(fill(name, shape)) for name, shape in shapes.items()}


@cache
def tiny_transformer() -> Transformer:
    return published.load_transformer(filled(tensor_list("mmdit_tiny")[1]), "mmdit_tiny")


def first_blocks(name: str) -> Transformer:
    """A network with one block of each kind, of its list's widths."""
    shapes = tensor_list(name)[1]
    kept = {key: shape for key, shape in shapes.items() if "blocks." not in key or "_blocks.0." in key}
    return published.load_transformer(filled(kept), name)


def dac_file(name: str) -> dict[str, Any]:
    """As the published file is laid out."""
    config, shapes = tensor_list(name)
    return {"state_dict": filled(shapes), "metadata": {"kwargs": config}}


def dac_encoder(file: dict[str, Any]) -> dac.DacEncoder:
    network = dac.DacEncoder(dac.read_config(file["metadata"]["kwargs"]))
    loading.load(network, dac.halves(file["state_dict"])[1], "encoder")
    return network


@cache
def tiny_decoder() -> dac.DacDecoder:
    return published.load_decoder(dac_file("dac_tiny"))


def tiny_synchformer() -> synchformer.Synchformer:
    """Its heads are 16 wide, unlike those of the published one, so that their number has to be said."""
    config, shapes = tensor_list("synchformer_vfeat_tiny")
    sizes = synchformer.SynchformerConfig(config["embed_dim"], config["depth"], config["num_heads"])
    network = synchformer.Synchformer(sizes)
    loading.load(network, loading.select(filled(shapes), synchformer.PREFIX), "tiny", synchformer.UNUSED)
    return network


def published_synchformer() -> synchformer.Synchformer:
    return published.load_synchformer(filled(tensor_list("synchformer_vfeat")[1]))


def synchformer_windows(vectors: Golden) -> Tensor:
    """``[windows, 3, 16, 224, 224]``; the stored vectors hold the seed, and a check of the stream."""
    drawn = np.random.RandomState(int(vectors["in_seed"])).uniform(-1, 1, vectors["in_shape"]).astype(np.float32)
    np.testing.assert_array_equal(drawn.reshape(-1)[:8], vectors["in_check"])
    return torch.from_numpy(drawn)[0].transpose(1, 2).contiguous()


def tiny_clap() -> encoders.ClapText:
    config, shapes = tensor_list("clap_text_tiny")
    network = encoders.ClapText(ClapTextConfig(**config))
    tensors = loading.select(filled(shapes), encoders.CLAP_TOWER)
    loading.load(network.tower, tensors, "tiny", encoders.CLAP_UNUSED)
    return network.eval()


def tiny_siglip2() -> encoders.Siglip2Vision:
    config, shapes = tensor_list("siglip_vision_tiny")
    network = encoders.Siglip2Vision(SiglipVisionConfig(**config))
    loading.load(network.tower, loading.select(filled(shapes), encoders.SIGLIP2_TOWER), "tiny")
    return network.eval()


def worst(ours: Tensor | NDArray[Any], theirs: Tensor | NDArray[Any]) -> float:
    """The largest absolute difference. Shapes must agree: broadcasting would hide a fault."""
    first, second = np.asarray(ours), np.asarray(theirs)
    assert first.shape == second.shape
    return float(np.abs(first.astype(np.float64) - second).max())
