"""Positions, norms and index tables against the golden vectors, and the same numbers from ONNX Runtime."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from images.foley.nets.blocks import SINGLE_EPS, TRIPLE_EPS, make_turns
from images.foley.nets.layers import MACHINE_EPSILON, RmsNorm, modulate
from images.foley.nets.sequence import nearest, rotate, rotation, turning_speeds
from images.foley.nets.transformer import time_speeds
from tests.support.foley.graph_runs import Graph
from tests.support.foley.networks import golden, worst

VECTORS = golden("rope_time")
TABLES = sorted(name for name in VECTORS if name.startswith("nearest_"))
LIMIT = 2e-6


class Nearest(nn.Module):
    """The table alone, as a network."""

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return nearest(source, target)


class JointTurn(nn.Module):
    """Heads of both streams as joint attention turns them: visual before audio."""

    speeds: Tensor

    def __init__(self, head_size: int) -> None:
        super().__init__()
        self.register_buffer("speeds", turning_speeds(head_size))

    def forward(self, audio: Tensor, visual: Tensor) -> Tensor:
        turns = make_turns(audio, visual, visual, self.speeds)
        turned = rotate(visual.index_select(1, turns.visual_rows), turns.joint_visual), rotate(audio, turns.joint_audio)
        return torch.cat(turned, dim=1)


@pytest.fixture(scope="module")
def nearest_graph() -> Graph:
    lengths = {"source": torch.zeros(1, 24, 1), "target": torch.zeros(1, 74, 1)}
    return Graph(Nearest(), lengths, {"source": {1: "source"}, "target": {1: "target"}})


@pytest.fixture(scope="module")
def turn_graph() -> Graph:
    heads = {"audio": torch.ones(1, 9, 2, 16), "visual": torch.ones(1, 5, 2, 16)}
    return Graph(JointTurn(16), heads, {"audio": {1: "audio"}, "visual": {1: "visual"}})


@pytest.mark.parametrize("name", TABLES)
def test_golden_tables(name: str, nearest_graph: Graph) -> None:
    source, target = (torch.zeros(1, int(length), 1) for length in re.findall(r"\d+", name))
    np.testing.assert_array_equal(nearest(source, target).numpy(), VECTORS[name])
    np.testing.assert_array_equal(nearest_graph.run(source=source, target=target), VECTORS[name])


def test_tables_of_every_practical_clip_are_the_frameworks(nearest_graph: Graph) -> None:
    """Image tokens, sync tokens and latent steps for 16 to 376 frames, up and down, against torch's own resampling."""
    differing = 0
    for frames in range(16, 377, 3):
        steps, images, syncs = 2 * frames, int(frames * 8 / 25) + 1, 8 * ((frames - 16) // 8 + 1)
        for source, target in ((images, steps), (steps, images), (syncs, steps)):
            rows = torch.arange(source, dtype=torch.float32)[None, None]
            expected = nn.functional.interpolate(rows, target, mode="nearest-exact")[0, 0].numpy()
            ends = torch.zeros(1, source, 1), torch.zeros(1, target, 1)
            np.testing.assert_array_equal(nearest(*ends).numpy(), expected)
            np.testing.assert_array_equal(nearest_graph.run(source=ends[0], target=ends[1]), expected)
            whole = [(2 * place + 1) * source // (2 * target) for place in range(target)]
            differing += whole != expected.tolist()
    assert differing > 0, "no length was tried where exact integers give another table"


@pytest.mark.parametrize("case", "abcd")
@pytest.mark.parametrize("kind", "qk")
def test_joint_turning(case: str, kind: str, turn_graph: Graph) -> None:
    audio, visual = (torch.from_numpy(VECTORS[f"{case}_in_{stream}_{kind}"]) for stream in ("audio", "visual"))
    expected = np.concatenate([VECTORS[f"{case}_out_{stream}_{kind}"] for stream in ("visual", "audio")], axis=1)
    assert worst(JointTurn(16)(audio, visual), expected) < LIMIT
    assert worst(turn_graph.run(audio=audio, visual=visual), expected) < LIMIT


def signs(table: Tensor) -> Tensor:
    """Of the sines: minus for the first of a pair."""
    return torch.tensor([-1.0, 1.0]).repeat(table.shape[-1] // 2)


@pytest.mark.parametrize("case", "abcd")
def test_rotation_tables(case: str) -> None:
    cosine, sine = rotation(torch.arange(len(VECTORS[f"{case}_cos"]), dtype=torch.float32), turning_speeds(16))
    assert worst(cosine[:, 0], VECTORS[f"{case}_cos"]) < LIMIT
    assert worst(sine[:, 0] * signs(cosine), VECTORS[f"{case}_sin"]) < LIMIT


def test_published_rotation_table() -> None:
    places = torch.from_numpy(VECTORS["published_positions"]).float()
    cosine, sine = rotation(places, turning_speeds(128))
    assert worst(cosine[:, 0], VECTORS["published_cos"]) < LIMIT
    assert worst(sine[:, 0] * signs(cosine), VECTORS["published_sin"]) < LIMIT


def test_time_sinusoids() -> None:
    """A speed may be rounded to either of two neighbours in float32, as processors' kernels of ``exp`` do; times make that an
    angle's error."""
    angles = torch.from_numpy(VECTORS["time_t"])[:, None] * time_speeds()
    allowed = LIMIT + 2 * torch.finfo(torch.float32).eps * angles
    difference = torch.cat((angles.cos(), angles.sin()), dim=-1) - torch.from_numpy(VECTORS["time_embedding_256"])
    assert bool((difference.abs() <= torch.cat((allowed, allowed), dim=-1)).all())


def test_norms_of_both_kinds_of_block() -> None:
    given = torch.from_numpy(VECTORS["rms_in"])
    zero = torch.zeros(())
    kinds = (("triple", TRIPLE_EPS, TRIPLE_EPS), ("single", MACHINE_EPSILON, SINGLE_EPS))
    for kind, rms, layer in kinds:
        assert worst(RmsNorm(given.shape[-1], rms)(given).detach(), VECTORS[f"rms_out_{kind}"]) < LIMIT
        assert worst(modulate(10 * given, zero, zero, layer), VECTORS[f"ln_out_{kind}"]) < LIMIT
