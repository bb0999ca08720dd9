"""What the encoders see of a frame: against the golden vectors, torch and Pillow, all to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from images.foley.media.pixels import image_values, sync_values
from images.foley.media.scaling import scale_image, scale_sync
from tests.support.foley.clips import picture
from tests.support.repository import ROOT

VIDEO = np.load(ROOT / "tests/support/foley/golden/video.npz")
SIZES = [tuple(size) for size in VIDEO["frame_sizes"].tolist()]


@pytest.mark.parametrize(("case", "size"), list(enumerate(SIZES)))
def test_golden_frames_are_made_by_the_same_rule(case: int, size: tuple[int, int]) -> None:
    assert np.array_equal(picture(case, *size)[:4, :4], VIDEO[f"frame_{case}_check"])


@pytest.mark.parametrize(("case", "size"), list(enumerate(SIZES)))
def test_image_input_is_exact(case: int, size: tuple[int, int]) -> None:
    values = image_values([scale_image(picture(case, *size))])[0]
    assert values.dtype == np.float32
    assert np.array_equal(values[:, ::8, ::8], VIDEO[f"siglip_{case}_stride8"])
    assert np.array_equal(values[:, 200:232, 200:232], VIDEO[f"siglip_{case}_patch"])
    np.testing.assert_allclose(values.mean(axis=(1, 2)), VIDEO[f"siglip_{case}_mean"], atol=1e-6)


@pytest.mark.parametrize(("case", "size"), list(enumerate(SIZES)))
def test_sync_input_is_exact(case: int, size: tuple[int, int]) -> None:
    values = sync_values([scale_sync(picture(index, *size)) for index in (case, case + 1)])
    assert values.dtype == np.float32
    assert np.array_equal(values[..., ::4, ::4], VIDEO[f"sync_{case}_stride4"])
    assert np.array_equal(values[..., 100:132, 100:132], VIDEO[f"sync_{case}_patch"])
    np.testing.assert_allclose(values.mean(axis=(2, 3)), VIDEO[f"sync_{case}_mean"], atol=1e-6)


def resize_with_torch(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    short = min(height, width)
    size = int(224 * height / short), int(224 * width / short)
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(frame)[None].permute(0, 3, 1, 2), size=size, mode="bicubic", antialias=True
    )
    top, left = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    cropped: NDArray[np.uint8] = resized[0, :, top : top + 224, left : left + 224].numpy()
    return cropped


ODD_SIZES = [
    (720, 1280),
    (1280, 720),
    (1080, 1920),
    (2160, 3840),
    (224, 224),
    (224, 400),
    (225, 227),
    (16, 16),
    (17, 900),
]


@pytest.mark.parametrize("size", [*ODD_SIZES, *np.random.RandomState(3).randint(16, 600, (16, 2)).tolist()])
def test_sync_frames_are_torchs(size: tuple[int, int]) -> None:
    random = np.random.RandomState(size[0])
    noise = random.randint(0, 256, (*size, 3)).astype(np.uint8)
    extremes = (random.randint(0, 2, (*size, 3)) * 255).astype(np.uint8)  # overshoots, to be clipped between the passes
    for frame in (noise, extremes):
        assert np.array_equal(scale_sync(frame), resize_with_torch(frame))


def test_sync_frames_differ_from_pillows() -> None:
    """Why there is a resize of our own: Pillow's rounds by other weights."""
    frame = picture(0, 600, 900)
    pillows = np.asarray(Image.fromarray(frame).resize((336, 224), Image.Resampling.BICUBIC))[:, 56:280]
    apart = np.abs(scale_sync(frame).astype(int) - pillows.transpose(2, 0, 1))
    assert 0 < apart.max() <= 2
