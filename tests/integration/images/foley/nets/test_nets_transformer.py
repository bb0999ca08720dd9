"""The diffusion transformer against the golden vectors, in torch and as a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from images.foley import export as foley
from images.foley.nets import loading, published
from images.foley.nets.transformer import IN_FP32, Transformer, read_config
from prebake.bake.precision.half_module import HalfModule
from tests.support.collection.sampled import slow
from tests.support.foley import graph_runs, networks
from tests.support.foley.networks import Golden, golden, tensor_list, worst

LIMIT = 5e-6
INSIDE = 2e-5
"""Of intermediate values, which are larger than the outputs."""
CASES = [f"mmdit_{letter}{kind}" for letter in "abcd" for kind in ("", "_empty")]


def inputs(vectors: Golden, conditional: bool = True) -> dict[str, Tensor]:
    sync = torch.from_numpy(vectors["in_sync_feat"])
    return {
        "latents": torch.from_numpy(vectors["in_x"]),
        "timestep": torch.from_numpy(vectors["in_t"]),
        "text": torch.from_numpy(vectors["in_cond"]),
        "visual": torch.from_numpy(vectors["in_clip_feat"]),
        "sync": torch.unflatten(sync, 1, (-1, 8)),
        "conditional": torch.full((len(sync),), conditional),
    }


def allowed(network: Transformer, given: dict[str, Tensor]) -> float:
    """LIMIT, and what the output moves by if each speed of the time embedding is rounded to its neighbour in float32: processors'
    kernels of ``exp`` differ by that, and the golden vectors come from another one."""
    speeds = network.time_in.speeds
    with torch.inference_mode():
        plain = network(**given)
        moved = [
            torch.func.functional_call(
                network, {"time_in.speeds": torch.nextafter(speeds, torch.full_like(speeds, end))}, (), given
            )
            for end in (0.0, 2.0)
        ]
    return LIMIT + max(worst(each, plain) for each in moved)


@pytest.mark.parametrize("case", CASES)
def test_torch_gives_the_golden_velocity(case: str) -> None:
    vectors, network = golden(case), networks.tiny_transformer()
    with torch.inference_mode():
        assert worst(network(**inputs(vectors)), vectors["out"]) < allowed(network, inputs(vectors))


@pytest.mark.parametrize("case", CASES)
def test_the_graph_gives_the_golden_velocity(case: str) -> None:
    vectors = golden(case)
    bound = allowed(networks.tiny_transformer(), inputs(vectors))
    assert worst(graph_runs.tiny_transformer().run(**inputs(vectors)), vectors["out"]) < bound


@pytest.mark.parametrize("letter", "abcd")
def test_an_unconditional_row_reads_the_empty_features(letter: str) -> None:
    unread = inputs(golden(f"mmdit_{letter}"), conditional=False)
    vectors, network = golden(f"mmdit_{letter}_empty"), networks.tiny_transformer()
    bound = allowed(network, unread)
    with torch.inference_mode():
        assert worst(network(**unread), vectors["out"]) < bound
    assert worst(graph_runs.tiny_transformer().run(**unread), vectors["out"]) < bound


@pytest.mark.parametrize("case", CASES)
def test_every_stage_gives_its_golden_values(case: str) -> None:
    vectors = golden(case)
    stages = watch(networks.tiny_transformer(), inputs(vectors))
    assert {name for name in vectors if name.startswith("mid_")} == stages.keys()
    assert {name: worst(value, vectors[name]) for name, value in stages.items() if value is not None} == pytest.approx(
        dict.fromkeys(stages, 0.0), abs=INSIDE
    )


def watch(network: Transformer, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """What goes into and comes out of the network's parts, by the names of the golden vectors."""
    seen: dict[str, Tensor] = {}
    first_triple, last_triple = network.triple_blocks[0], network.triple_blocks[-1]

    def outputs(module: nn.Module, *names: str) -> Any:
        def note(_: nn.Module, __: Any, out: Any) -> None:
            seen.update(zip(names, out if isinstance(out, tuple) else (out,), strict=True))

        return module.register_forward_hook(note)

    def argument(module: nn.Module, place: int, name: str) -> Any:
        return module.register_forward_pre_hook(lambda _, args: seen.update({name: args[place]}))

    handles = [
        *(outputs(getattr(network, part), f"mid_{part}") for part in ("time_in", "cond_in", "audio_embedder")),
        *(outputs(getattr(network, part), f"mid_{part}") for part in ("visual_proj", "sync_in")),
        argument(first_triple, 0, "mid_triple0_in_audio"),
        outputs(first_triple, "mid_triple0_out_audio", "mid_triple0_out_visual"),
        outputs(last_triple, "mid_triple_last_out_audio", "mid_triple_last_out_visual"),
        argument(network.single_blocks[0], 1, "mid_single0_in_cond"),
        outputs(network.single_blocks[0], "mid_single0_out"),
        outputs(network.single_blocks[-1], "mid_single_last_out"),
    ]
    with torch.inference_mode():
        network(**given)
    for handle in handles:
        handle.remove()
    return seen


@slow
def test_published_widths_in_torch_and_as_a_graph() -> None:
    network, vectors = networks.first_blocks("mmdit_xl"), golden("real_xl_1x1")
    other = foley.transformer_case(network, *foley.TRANSFORMER_SIZES[1])
    with torch.inference_mode():
        assert worst(network(**inputs(vectors)), vectors["out"]) < LIMIT
        expected = network(**other)
    graph = graph_runs.Graph(
        network, foley.transformer_case(network, *foley.TRANSFORMER_SIZES[0]), foley.TRANSFORMER_AXES
    )
    assert worst(graph.run(**inputs(vectors)), vectors["out"]) < LIMIT
    assert worst(graph.run(**other), expected) < LIMIT


@pytest.mark.parametrize(("kind", "bound"), [("fp16", 0.005), ("bf16", 0.05)])
@pytest.mark.parametrize("case", ["mmdit_a", "mmdit_c"])
def test_half_precision_keeps_times_and_places(case: str, kind: str, bound: float) -> None:
    """Of the largest velocity; with times and rotations in half precision it is ten times that."""
    vectors, network = golden(case), networks.tiny_transformer()
    largest = np.abs(vectors["out"]).max()
    with torch.inference_mode():
        kept, coarse = (HalfModule(network, kind, names)(**inputs(vectors)) for names in (IN_FP32, ()))
    assert worst(kept, vectors["out"]) < bound * largest < worst(coarse, vectors["out"])


@slow
def test_the_graph_computes_in_fp16() -> None:
    """A CPU does so between casts. One block of each kind has every operator, and is exported in a third of the time."""
    given, network = inputs(golden("mmdit_c")), networks.first_blocks("mmdit_tiny")
    with torch.inference_mode():
        expected = network(**given)
    case = foley.transformer_case(network, *foley.TRANSFORMER_SIZES[0])
    graph = graph_runs.Graph(HalfModule(network, "fp16", IN_FP32), case, foley.TRANSFORMER_AXES)
    difference = worst(graph.run(**given), expected)
    assert 0 < difference < 0.005 * np.abs(np.asarray(expected)).max()


@pytest.mark.parametrize(
    ("name", "blocks", "size", "numbers"),
    [("mmdit_xl", (12, 24), 1408, 2_912_962_688), ("mmdit_xxl", (18, 36), 1536, 5_134_014_848)],
)
def test_the_published_lists_are_this_network(name: str, blocks: tuple[int, int], size: int, numbers: int) -> None:
    shapes = tensor_list(name)[1]
    config = read_config(shapes)
    assert (config.triple_blocks, config.single_blocks) == blocks
    assert (config.size, config.head_size, config.latent) == (size, 128, 128)
    with torch.device("meta"):
        network = Transformer(config)
    loading.check(network, shapes, name, published.TRANSFORMER_UNUSED)
    unused = sum(int(np.prod(shape)) for key, shape in shapes.items() if key.startswith(published.TRANSFORMER_UNUSED))
    assert sum(parameter.numel() for parameter in network.parameters()) + unused == numbers


def test_what_is_served_leaves_out_only_what_has_no_effect() -> None:
    network, vectors = networks.tiny_transformer(), golden("mmdit_a")
    served = network.served_tensors()
    left_out = network.state_dict().keys() - served.keys()
    assert {name.split(".")[1] for name in left_out} == {"1"}
    disturbed = Transformer(network.config).eval()
    disturbed.load_state_dict(
        network.state_dict() | {name: torch.full_like(network.state_dict()[name], 9.0) for name in left_out}
    )
    with torch.inference_mode():
        assert worst(disturbed(**inputs(vectors)), vectors["out"]) < LIMIT
