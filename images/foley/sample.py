"""A checkpoint of the same architecture, from a seed: small, for CI and a first try, or of a requested size.

The files have the published names, formats and tensor names; the networks are narrow and shallow at first, and their
sound is noise. The same seed gives the same bytes: numpy's ``RandomState`` never changes its stream (NEP 19), and the documents
are written here and not by a library. Weights are float32, since the type of the published ones is not known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from images.foley import sample_shapes, sample_words
from images.foley.sample_shapes import Sizes

Arrays = dict[str, NDArray[np.float32]]


def write(folder: Path, seed: int, size: int | None = None) -> None:
    """Write the checkpoint's eleven files into ``folder``: about 50 MB, or ``size`` bytes of text and sound networks.

    Larger ones are wider and deeper; the visual encoders and the sound's decoder stay small.
    """
    words = sample_words.make()
    sizes = Sizes() if size is None else sample_shapes.grow(size, len(words.vocabulary))
    for name in ("siglip2", "clap"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _write_pickles(folder, seed, sizes)
    _write_siglip2(folder / "siglip2", seed)
    _write_clap(folder / "clap", seed, words, sizes)


def _write_pickles(folder: Path, seed: int, sizes: Sizes) -> None:
    transformer = _tensors(draw(sample_shapes.transformer(sizes), seed))
    torch.save(transformer, folder / "hunyuanvideo_foley_xl.pth")
    synchformer = _tensors(draw(sample_shapes.synchformer(), seed))
    torch.save(synchformer, folder / "synchformer_state_dict.pth")
    vae = {"state_dict": _tensors(draw(sample_shapes.dac(), seed)), "metadata": {"kwargs": sample_shapes.DAC_KWARGS}}
    torch.save(vae, folder / "vae_128d_48k.pth")


def _write_siglip2(folder: Path, seed: int) -> None:
    (folder / "model.safetensors").write_bytes(save(draw(sample_shapes.siglip2(), seed), {"format": "pt"}))
    _write_json(folder / "config.json", sample_shapes.SIGLIP2_CONFIG)
    _write_json(folder / "preprocessor_config.json", sample_shapes.SIGLIP2_PREPROCESSOR)


def _write_clap(folder: Path, seed: int, words: sample_words.Words, sizes: Sizes) -> None:
    size = len(words.vocabulary)
    tensors = draw(sample_shapes.clap(size, sizes), seed) | sample_shapes.clap_tables()
    (folder / "model.safetensors").write_bytes(save(tensors, {"format": "pt"}))
    _write_json(folder / "config.json", sample_shapes.clap_config(size, sizes))
    _write_json(folder / "tokenizer.json", sample_words.tokenizer(words))
    _write_json(folder / "vocab.json", words.vocabulary)
    merges = ["#version: 0.2", *(" ".join(merge) for merge in words.merges)]
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def draw(shapes: Mapping[str, tuple[int, ...]], seed: int) -> Arrays:
    """Every tensor, one stream of random numbers for all, each scaled so that signals keep about unit size."""
    stream = np.random.RandomState(seed)
    return {
        name: _scale(name.rpartition(".")[2], stream.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def _scale(last: str, noise: NDArray[Any]) -> NDArray[Any]:
    if last in ("alpha", "weight_g"):
        return (1.0 if last == "alpha" else 0.66) + 0.1 * noise.clip(-3, 3)
    if last == "weight" and noise.ndim == 1:
        return 1.0 + 0.1 * noise
    if noise.ndim < 2 or last.endswith("bias"):
        return 0.05 * noise
    if last.endswith(("weight", "weight_v")):
        return noise / math.sqrt(math.prod(noise.shape[1:]))
    return 0.5 * noise
