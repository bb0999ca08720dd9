"""Synchformer's visual half against the golden vectors, in torch and as a graph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from images.foley import export as foley
from images.foley.nets import loading, published
from images.foley.nets.synchformer import OTHER_PARTS, PREFIX, UNUSED, Synchformer, read_config
from tests.support.collection.sampled import sampled
from tests.support.foley import graph_runs, networks
from tests.support.foley.networks import Golden, golden, tensor_list, worst

LIMIT = 1e-5
INSIDE = 1e-4
NETWORKS = {"tiny": networks.tiny_synchformer, "published": networks.published_synchformer}


@pytest.mark.parametrize("size", sampled(["tiny", "published"], "tiny"))
def test_the_golden_features_in_torch_and_as_a_graph(size: str) -> None:
    """The graph was exported for two windows. In the published size, each window takes seconds: the graph computes one."""
    network, vectors = NETWORKS[size](), golden(f"synchformer_{size}")
    windows = networks.synchformer_windows(vectors)
    check_stages(network, windows, vectors)
    graph = graph_runs.Graph(network, {"windows": foley.draw(*windows.shape)}, foley.SYNCHFORMER_AXES)
    assert worst(graph.run(windows=windows[1:]), vectors["out"][0, 1:]) < LIMIT
    if size == "tiny":
        with torch.inference_mode():
            expected = network(windows[:1])
        assert worst(graph.run(windows=windows[:1]), expected) < LIMIT
        assert worst(graph.run(windows=windows)[None], vectors["out"]) < LIMIT


def check_stages(network: Synchformer, windows: Tensor, vectors: Golden) -> None:
    seen: dict[str, Tensor] = {}
    handles = [
        network.patch_embed_3d.register_forward_hook(lambda _, __, out: seen.update(mid_patch_embed=out)),
        network.blocks[0].register_forward_hook(
            lambda _, given, out: seen.update(mid_block0_in=given[0], mid_block0_out=out)
        ),
        network.blocks[-1].register_forward_hook(lambda _, __, out: seen.update(mid_block_last_out=out)),
    ]
    with torch.inference_mode():
        assert worst(network(windows)[None], vectors["out"]) < LIMIT
    for handle in handles:
        handle.remove()
    step = int(vectors["token_stride"])
    assert {name: worst(each[:, ::step], vectors[name]) for name, each in seen.items()} == pytest.approx(
        dict.fromkeys((name for name in vectors if name.startswith("mid_")), 0.0), abs=INSIDE
    )


def test_the_published_list_is_this_network_and_known_parts() -> None:
    shapes = tensor_list("synchformer_full")[1]
    assert len(shapes) == 513
    assert all(name.startswith((PREFIX, *OTHER_PARTS)) for name in shapes)
    visual = {name.removeprefix(PREFIX): shape for name, shape in shapes.items() if name.startswith(PREFIX)}
    with torch.device("meta"):
        network = Synchformer(read_config(visual))
    loading.check(network, visual, "synchformer_full", UNUSED)
    assert (network.config.heads, network.config.blocks) == (12, 12)


def test_a_part_that_is_not_known_is_an_error() -> None:
    tensors = networks.filled(tensor_list("synchformer_vfeat_tiny")[1]) | {"efeat_extractor.weight": torch.zeros(1)}
    with pytest.raises(loading.TensorsDiffer, match=r"no known part:\n  unexpected efeat_extractor\.weight"):
        published.load_synchformer(tensors)
