"""A model whose components do not fit into the memory budget at once: they make room for one another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest

from entrypoints.components.opener import Opener
from entrypoints.components.resident_components import ResidentComponents
from entrypoints.errors import DamagedFile, MemoryLimitTooLow
from entrypoints.files.verification import Verification
from entrypoints.hardware.memory_limit import add_ranges
from entrypoints.manifest.reader import read_manifest
from entrypoints.processes.timeline import Timeline
from images.zimage import model
from tests.support.models.zimage_serving import ask, numbers

REQUEST = {"prompt": "a cat", "width": 64, "height": 64, "steps": 2, "seed": 3, "output": "latents"}


def count_bytes(models: Path) -> Mapping[str, int]:
    """Of the weights, by component."""
    return {
        name: sum(add_ranges([], ranges) for ranges in component.byte_ranges.values())
        for name, component in read_manifest(models).components.items()
    }


def open_within(models: Path, size: int, *pinned: str, verify: bool = False) -> tuple[Opener, Timeline]:
    timeline, manifest = Timeline(), read_manifest(models)
    verification = Verification(models, manifest) if verify else None
    if verification is not None:
        verification.add_threads(1)
    opener = Opener(models, manifest, timeline, verification, budgets={"host": size}, pinned=pinned)
    opener.start(1)
    return opener, timeline


def answer(opener: Opener, **changes: object) -> np.ndarray:
    served = model.create(opener.components)
    return numbers(json.loads(ask(served, **{**REQUEST, **changes}).body)["images"])


@pytest.fixture(params=["onnxruntime", "torch"])
def models(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue("baked" if request.param == "onnxruntime" else "baked_for_torch")
    return folder


def test_answers_are_those_without_a_budget(models: Path) -> None:
    sizes = count_bytes(models)
    opener, timeline = open_within(models, sum(sizes.values()))
    expected = answer(opener)
    assert not isinstance(opener.components, ResidentComponents)
    assert (timeline.evictions, timeline.reloads) == ({}, {})

    opener, timeline = open_within(models, max(sizes.values()))  # the largest alone
    assert isinstance(opener.components, ResidentComponents)
    for _ in range(2):
        np.testing.assert_array_equal(answer(opener), expected)
    opener.components.wait_until_open()
    assert set(timeline.opened) == set(sizes)
    # Each request runs the three one after the other, so that each has to leave for the next.
    assert sum(timeline.evictions.values()) >= 4
    assert sum(times for times, _ in timeline.reloads.values()) >= 2
    assert len(timeline.fallbacks) == len({tuple(each.values()) for each in timeline.fallbacks})


def test_a_pinned_component_stays(baked: Path) -> None:
    sizes = count_bytes(baked)
    opener, timeline = open_within(baked, max(sizes.values()) + sizes["text_encoder"], "text_encoder")
    for _ in range(3):
        answer(opener)
    assert "text_encoder" not in timeline.evictions


def test_requests_at_once_wait_for_room_and_are_answered(baked: Path) -> None:
    """More threads than rooms: each run holds its component, and the others wait for it."""
    opener, _ = open_within(baked, max(count_bytes(baked).values()))
    alone = {seed: answer(opener, seed=seed) for seed in (1, 2)}
    seeds = list(islice(cycle(alone), 12))
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: answer(opener, seed=seed), seeds, timeout=120))
    for seed, found in zip(seeds, together, strict=True):
        np.testing.assert_array_equal(found, alone[seed])


def test_what_never_fits_is_refused(baked: Path) -> None:
    sizes = count_bytes(baked)
    largest = max(sizes, key=lambda name: sizes[name])
    with pytest.raises(MemoryLimitTooLow, match=f"{largest} {sizes[largest]:,}"):
        open_within(baked, sizes[largest] - 1)


def test_a_component_that_cannot_be_opened_fails_the_start(baked: Path, tmp_path: Path) -> None:
    """Also one for which there was no room at first."""
    folder = Path(shutil.copytree(baked, tmp_path / "damaged"))
    (folder / "vae/model.onnx").write_bytes(bytes((folder / "vae/model.onnx").stat().st_size))
    opener, _ = open_within(folder, max(count_bytes(baked).values()), verify=True)
    with pytest.raises(DamagedFile, match="vae"):
        opener.components.wait_until_open()
    assert isinstance(opener.components.find_error(), DamagedFile)


def test_a_component_that_the_manifest_lacks(baked: Path) -> None:
    opener, _ = open_within(baked, max(count_bytes(baked).values()))
    with pytest.raises(KeyError, match="text_encoder"):
        opener.components.session("text_encoders")
