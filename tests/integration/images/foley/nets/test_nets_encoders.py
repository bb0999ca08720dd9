"""Which outputs of the two published encoders are meant, in torch and as graphs."""

from __future__ import annotations

import torch

from images.foley import export as foley
from tests.support.foley import graph_runs, networks
from tests.support.foley.networks import golden, worst

LIMIT = 5e-6


def test_the_text_states() -> None:
    network, vectors = networks.tiny_clap(), golden("encoders")
    given = {"input_ids": vectors["clap_in_ids"], "attention_mask": vectors["clap_in_mask"]}
    other = foley.clap_case([4, 23])
    with torch.inference_mode():
        hidden = network(**{name: torch.from_numpy(each) for name, each in given.items()})
        expected = network(**other)
    assert worst(hidden, vectors["clap_out_hidden"]) < LIMIT
    graph = graph_runs.Graph(network, foley.clap_case([9, 5]), foley.CLAP_AXES)
    assert worst(graph.run(**given), vectors["clap_out_hidden"]) < LIMIT
    assert worst(graph.run(**other), expected) < LIMIT


def test_the_image_features() -> None:
    network, vectors = networks.tiny_siglip2(), golden("encoders")
    pixels = torch.from_numpy(vectors["siglip_in_pixels"])
    with torch.inference_mode():
        assert worst(network(pixels), vectors["siglip_out_features"]) < LIMIT
    graph = graph_runs.Graph(network, {"pixels": foley.draw(3, 3, 64, 64)}, foley.SIGLIP2_AXES)
    assert worst(graph.run(pixels=pixels), vectors["siglip_out_features"]) < LIMIT
    assert worst(graph.run(pixels=pixels[1:]), vectors["siglip_out_features"][1:]) < LIMIT
