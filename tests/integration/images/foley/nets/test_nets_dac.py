"""The audio VAE against the golden vectors, in torch and its decoder as a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from images.foley import export as foley
from images.foley.nets import dac, loading, published
from tests.support.collection.sampled import slow
from tests.support.foley import graph_runs, networks
from tests.support.foley.networks import dac_encoder, dac_file, golden, tensor_list, worst

AUDIO, STATISTICS = 3e-5, 1e-4
INSIDE = 5e-4
"""Of values before the final tanh and between blocks, which reach tens."""
TINY = ("dac_tiny_a", "dac_tiny_b")


@pytest.fixture(scope="module")
def published_file() -> Iterator[dict[str, Any]]:
    """The published size: 1.5 GB, given back after this module."""
    file = dac_file("dac_published")
    yield file
    file.clear()


@pytest.mark.parametrize("case", TINY)
def test_torch_decodes_to_the_golden_sound(case: str) -> None:
    vectors = golden(case)
    with torch.inference_mode():
        assert worst(networks.tiny_decoder()(torch.from_numpy(vectors["in_latents"])), vectors["out_audio"]) < AUDIO


@pytest.mark.parametrize("case", TINY)
def test_the_graph_decodes_to_the_golden_sound(case: str) -> None:
    vectors = golden(case)
    assert worst(graph_runs.tiny_decoder().run(latents=vectors["in_latents"]), vectors["out_audio"]) < AUDIO


@pytest.mark.parametrize("case", TINY)
def test_every_stage_of_the_decoder(case: str) -> None:
    vectors, network = golden(case), networks.tiny_decoder()
    latents = torch.from_numpy(vectors["in_latents"])
    parts = {
        "mid_post_quant": network.post_quant_conv,
        "mid_decoder_block1": network.decoder.model[1],
        "mid_pre_tanh": network.decoder.model[-2],
    }
    seen = outputs(network, parts, latents)
    assert {name: worst(seen[name], vectors[name]) for name in parts} == pytest.approx(
        dict.fromkeys(parts, 0), abs=INSIDE
    )


@pytest.mark.parametrize("case", TINY)
def test_torch_encodes_to_the_golden_statistics(case: str) -> None:
    check_encoder(dac_encoder(dac_file("dac_tiny")), case)


def check_encoder(network: dac.DacEncoder, case: str, step: int = 1) -> None:
    vectors = golden(case)
    audio = torch.from_numpy(vectors["in_audio"])
    first = outputs(network, {"first": network.encoder.block[1]}, audio)["first"]
    assert worst(first[:, ::step, :: 8 if step > 1 else 1], vectors["mid_encoder_block1"]) < INSIDE
    with torch.inference_mode():
        mean, logvar = network(audio)
    assert worst(mean, vectors["out_mean"]) < STATISTICS
    assert worst(logvar, vectors["out_logvar"]) < STATISTICS
    assert worst(torch.exp(logvar / 2), vectors["out_std"]) < STATISTICS


def outputs(network: nn.Module, parts: dict[str, nn.Module], given: Tensor) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    handles = [
        part.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
        for name, part in parts.items()
    ]
    with torch.inference_mode():
        network(given)
    for handle in handles:
        handle.remove()
    return seen


@slow
def test_the_published_size(published_file: dict[str, Any]) -> None:
    vectors, network = golden("dac_published_a"), published.load_decoder(published_file)
    latents, (traced, other) = torch.from_numpy(vectors["in_latents"]), foley.dac_cases(network)
    with torch.inference_mode():
        assert worst(network(latents), vectors["out_audio"]) < AUDIO
        expected = network(**other)
    seen = outputs(network, {"first": network.decoder.model[1]}, latents)["first"]
    assert worst(seen[:, ::16], vectors["mid_decoder_block1"]) < INSIDE
    graph = graph_runs.Graph(network, traced, foley.DAC_AXES)
    assert worst(graph.run(latents=latents), vectors["out_audio"]) < AUDIO
    assert worst(graph.run(**other), expected) < AUDIO


@slow
def test_the_published_encoder(published_file: dict[str, Any]) -> None:
    check_encoder(dac_encoder(published_file), "dac_published_a", step=16)


def test_the_published_list_is_this_network() -> None:
    kwargs, shapes = tensor_list("dac_published")
    with torch.device("meta"):
        halves = dac.halves({name: torch.empty(shape) for name, shape in shapes.items()})
        networks_of_it = dac.DacDecoder(dac.read_config(kwargs)), dac.DacEncoder(dac.read_config(kwargs))
    for network, tensors in zip(networks_of_it, halves, strict=True):
        loading.check(network, published.shapes_of(tensors), "dac_published")
    assert dac.read_config(kwargs).hop == 960


def test_half_of_a_weight_norm_pair_is_named() -> None:
    file = dac_file("dac_tiny")
    del file["state_dict"]["decoder.model.0.weight_v"], file["state_dict"]["encoder.block.0.weight_g"]
    with pytest.raises(loading.TensorsDiffer, match=r"missing encoder\.block\.0\.weight .*\n.*weight_v"):
        published.load_decoder(file)


def test_the_arguments_of_another_vae_are_refused() -> None:
    kwargs = tensor_list("dac_tiny")[0]
    with pytest.raises(ValueError, match="continuous is not true"):
        dac.read_config(kwargs | {"continuous": False})
    with pytest.raises(ValueError, match="lacks decoder_rates, latent_dim"):
        dac.read_config({key: value for key, value in kwargs.items() if key not in ("latent_dim", "decoder_rates")})


def test_arguments_that_do_not_fit_the_tensors_are_told() -> None:
    file = dac_file("dac_tiny")
    file["metadata"]["kwargs"] = file["metadata"]["kwargs"] | {"decoder_rates": [8, 5, 4, 2, 3]}
    with pytest.raises(loading.TensorsDiffer, match=r"mis-shaped decoder\.model\.4\.block\.1\.weight"):
        published.load_decoder(file)
