"""What torch's whole pipeline sees of a clip: against the golden vectors, and against what is served."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from images.foley.clip import make_clip
from images.foley.media.pixels import image_values, sync_values
from images.foley.media.video import read_frames
from images.foley.media.views import take_views
from images.foley.nets import pipeline
from tests.support.foley.networks import golden, worst

VECTORS = golden("video")
LEVEL = 2 / 255
"""One 8-bit level, in values of -1..1."""


def golden_frame(size: tuple[int, int], number: int) -> NDArray[np.uint8]:
    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    red, green = (3 * x + 2 * y + 17 * number) % 256, (x * x // 7 + 5 * y + 29 * number) % 256
    blue = 200 * ((x // 9 + y // 11 + number) % 2) + 20
    return np.stack((red, green, blue), axis=-1).astype(np.uint8)


@pytest.mark.parametrize("place", range(4))
def test_golden_frames(place: int) -> None:
    size: Any = tuple(int(side) for side in VECTORS["frame_sizes"][place])
    frame = golden_frame(size, place)
    np.testing.assert_array_equal(frame[:4, :4], VECTORS[f"frame_{place}_check"])
    image, sync = pipeline.scale_image(frame).numpy(), pipeline.scale_sync(frame).numpy()
    assert worst(image[:, ::8, ::8], VECTORS[f"siglip_{place}_stride8"]) < 1e-6
    assert worst(image[:, 200:232, 200:232], VECTORS[f"siglip_{place}_patch"]) < 1e-6
    assert worst(sync[:, ::4, ::4], VECTORS[f"sync_{place}_stride4"][0]) < 1e-4 * LEVEL
    assert worst(sync[:, 100:132, 100:132], VECTORS[f"sync_{place}_patch"][0]) < 1e-4 * LEVEL
    assert worst(sync.mean((1, 2)), VECTORS[f"sync_{place}_mean"][0]) < 1e-6


@pytest.mark.parametrize("frames", [25, 41])
def test_a_clip_is_seen_as_it_is_served(frames: int) -> None:
    video = make_clip(frames)
    images, syncs = pipeline.read_views(video)
    served = take_views(read_frames(video))
    assert worst(images, image_values(served.image)) < 1e-6
    assert worst(syncs, sync_values(served.sync)) < 1e-6


def test_the_clip_is_the_same_each_time_and_moves() -> None:
    assert len({make_clip() for _ in range(8)}) == 1
    images, syncs = pipeline.read_views(make_clip())
    assert (len(images), len(syncs)) == (8, 24)
    assert (syncs[0] - syncs[12]).abs().mean() > 0.1
