"""What engines of foley are made for holds every shape that its requests have."""

from __future__ import annotations

import math

import pytest

from entrypoints.manifest.shape_buckets import lies_between
from images.foley import export, model
from images.foley.media.frames import IMAGE_RATE, LONGEST, SYNC_RATE, WINDOW, Clock, count_windows, latent_length
from images.foley.text import LIMIT
from prebake.spec.project import read_spec
from tests.support.repository import ROOT

FULL = (LONGEST + 1, LIMIT)  # frames after it are not looked at
SHORTEST = (WINDOW / SYNC_RATE, 2)
"""Seconds of one window, and the two tokens that an empty text has."""
USUAL = (8.0, 16)
SOURCE = 30
"""Frames a second of a clip."""


def shapes_of(seconds: float, tokens: int, rows: int) -> list[tuple[str, dict[str, int]]]:
    """Everything that one request asks of the components, as ``model.py`` batches it: the largest of each, and the smallest."""
    images, syncs = (seen(seconds, rate) for rate in (IMAGE_RATE, SYNC_RATE))
    steps, windows = latent_length(syncs), count_windows(syncs)
    sizes = {"batch": rows, "steps": steps, "tokens": tokens, "frames": images, "windows": windows}
    return [
        ("clap", {"batch": 2, "tokens": tokens}),
        ("siglip2", {"frames": min(images, model.IMAGES_AT_ONCE)}),
        ("siglip2", {"frames": images % model.IMAGES_AT_ONCE or model.IMAGES_AT_ONCE}),
        ("synchformer", {"windows": model.WINDOWS_AT_ONCE}),
        ("transformer", sizes),
        ("dac", {"batch": 1, "steps": steps}),
    ]


def seen(seconds: float, rate: float) -> int:
    """Frames that are taken of a clip this long."""
    clock = Clock(rate)
    return sum(clock.take(number / SOURCE) for number in range(math.ceil(seconds * SOURCE)))


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(("seconds", "tokens"), [FULL, SHORTEST, USUAL])
def test_no_request_is_outside(seconds: float, tokens: int, rows: int) -> None:
    components = read_spec(ROOT, "foley").components
    for name, lengths in shapes_of(seconds, tokens, rows):
        assert lies_between(components[name].buckets, lengths), (name, lengths)


def test_the_first_bucket_is_what_the_model_was_made_for() -> None:
    """Eight seconds, with guidance."""
    components = read_spec(ROOT, "foley").components
    wanted = dict(shapes_of(*USUAL, 2))
    assert components["transformer"].buckets[0] == wanted["transformer"]
    assert components["dac"].buckets[0] == wanted["dac"]


def test_every_free_axis_has_lengths() -> None:
    """An engine is made for no other."""
    components = read_spec(ROOT, "foley").components
    free = {
        "clap": export.CLAP_AXES,
        "siglip2": export.SIGLIP2_AXES,
        "synchformer": export.SYNCHFORMER_AXES,
        "transformer": export.TRANSFORMER_AXES,
        "dac": export.DAC_AXES,
    }
    for name, axes in free.items():
        assert set(components[name].buckets[0]) == {axis for each in axes.values() for axis in each.values()}
