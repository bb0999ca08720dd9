"""The networks from the files of a checkpoint, under their published names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from images.foley.nets import dac, loading, synchformer, transformer

TRANSFORMERS = ("hunyuanvideo_foley.pth", "hunyuanvideo_foley_xl.pth")
VAE = "vae_128d_48k.pth"
SYNCHFORMER = "synchformer_state_dict.pth"

TRANSFORMER_UNUSED = ("final_layer.adaLN_modulation.1.",)
"""Part of the published model without an effect: its final layer does not use shift and scale."""

Open = Callable[[str], Mapping[str, Any]]
"""A pickle of the checkpoint, by name."""


def find_transformer(checkpoint: Path) -> str:
    """The name of the transformer's file. Raises FileNotFoundError, with the expected names, unless there is one."""
    found = [name for name in TRANSFORMERS if (checkpoint / name).is_file()]
    if len(found) != 1:
        raise FileNotFoundError(f"{checkpoint} should have one of {' and '.join(TRANSFORMERS)}, but has {found}")
    return found[0]


def load_transformer(tensors: Mapping[str, Tensor], source: str) -> transformer.Transformer:
    """From a whole published file, of either size. Raises TensorsDiffer."""
    shapes = shapes_of(tensors)
    loading.require(shapes, transformer.TELLING, source)
    with torch.device("meta"):
        network = transformer.Transformer(transformer.read_config(shapes))
    loading.load(network, tensors, source, TRANSFORMER_UNUSED)
    return network


def load_decoder(file: Mapping[str, Any]) -> dac.DacDecoder:
    """From the whole published file; the encoder's tensors are known and ignored. Raises TensorsDiffer, ValueError."""
    config = dac.read_config(file["metadata"]["kwargs"])
    decoder_tensors, encoder_tensors = dac.halves(file["state_dict"])
    with torch.device("meta"):
        network, encoder = dac.DacDecoder(config), dac.DacEncoder(config)
    loading.check(encoder, shapes_of(encoder_tensors), VAE)
    loading.load(network, decoder_tensors, VAE)
    return network


def load_synchformer(tensors: Mapping[str, Tensor]) -> synchformer.Synchformer:
    """From the whole published file: its visual half strictly, and no part but the known ones. Raises TensorsDiffer."""
    known = (synchformer.PREFIX, *synchformer.OTHER_PARTS)
    strangers = [f"unexpected {name}" for name in sorted(tensors) if not name.startswith(known)]
    if strangers:
        raise loading.TensorsDiffer(
            f"{SYNCHFORMER}: tensors that belong to no known part:\n  " + "\n  ".join(strangers)
        )
    visual = loading.select(tensors, synchformer.PREFIX)
    loading.require(visual, synchformer.TELLING, f"{SYNCHFORMER}, {synchformer.PREFIX}*")
    with torch.device("meta"):
        network = synchformer.Synchformer(synchformer.read_config(shapes_of(visual)))
    loading.load(network, visual, SYNCHFORMER, synchformer.UNUSED)
    return network


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
