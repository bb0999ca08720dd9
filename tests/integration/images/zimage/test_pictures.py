"""Answers can be read by other programs, and hold the pixels without loss."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from images.zimage.pictures import Picture, to_bytes, write_answer


def picture(height: int, width: int, seed: int = 1) -> Picture:
    stream = np.random.RandomState(seed)
    pixels = stream.random_sample((height, width, 3)).astype(np.float32)
    return Picture(stream.standard_normal((16, height // 8, width // 8)).astype(np.float32), pixels)


def read_png(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (16, 208), (208, 16), (8, 8)])
def test_a_png_has_the_pixels(height: int, width: int) -> None:
    one = picture(height, width)
    answer = write_answer([one], "png")
    assert answer.media_type == "image/png"
    wanted = Image.fromarray((one.pixels * 255).round().astype("uint8"))  # as diffusers' image processor does
    np.testing.assert_array_equal(read_png(answer.body), np.asarray(wanted))


def test_black_and_white_stay_so() -> None:
    pixels = np.array([[[0, 0.5, 1]]], dtype=np.float32)
    assert to_bytes(pixels).tolist() == [[[0, 128, 255]]]


def test_a_smooth_picture_is_packed_well() -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)
    smooth = Picture(picture(8, 8).latent, np.broadcast_to(ramp[:, None, None], (256, 256, 3)))
    assert len(write_answer([smooth], "png").body) < 2000


def test_several_come_in_a_zip_in_their_order() -> None:
    pictures = [picture(16, 24, seed) for seed in range(3)]
    answer = write_answer(pictures, "png")
    assert answer.media_type == "application/zip"
    assert write_answer(pictures, "png").body == answer.body
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.namelist() == ["0.png", "1.png", "2.png"]
        for name, each in zip(archive.namelist(), pictures, strict=True):
            np.testing.assert_array_equal(read_png(archive.read(name)), to_bytes(each.pixels))


def test_numbers_are_means_of_blocks_and_whole_latents() -> None:
    one = picture(16, 24)
    means = json.loads(write_answer([one], "pixels").body)["images"][0]
    assert np.shape(means) == (2, 3, 3)
    assert means[1][2] == pytest.approx(one.pixels[8:, 16:].mean(axis=(0, 1), dtype=np.float64), abs=1e-7)
    latents = json.loads(write_answer([one, one], "latents").body)["images"]
    np.testing.assert_array_equal(np.array(latents, dtype=np.float32), [one.latent, one.latent])
