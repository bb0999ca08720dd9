"""Finished images as answers: PNG, several in a zip, or numbers for comparing."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from entrypoints.contract import Answer

PNG, ZIP, JSON = "image/png", "application/zip", "application/json"
BLOCK = 8
"""Pixels across and down whose mean stands in the JSON answer."""
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time of a zip


class Picture(NamedTuple):
    """One finished image."""

    latent: NDArray[np.float32]
    """``[channels, rows, columns]``."""
    pixels: NDArray[np.float32]
    """``[height, width, 3]``, red, green and blue from 0 to 1."""


def write_answer(pictures: Sequence[Picture], output: str) -> Answer:
    """By the form's ``output``: ``png``, ``pixels`` or ``latents``."""
    if output != "png":
        return Answer(write_numbers(pictures, output), JSON)
    files = [write_png(to_bytes(each.pixels)) for each in pictures]
    return Answer(files[0], PNG) if len(files) == 1 else Answer(write_zip(files), ZIP)


def to_bytes(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """0 to 1 as 0 to 255, rounded as diffusers rounds (to even)."""
    return (pixels * 255).round().astype(np.uint8)


def write_png(pixels: NDArray[np.uint8]) -> bytes:
    """``[height, width, 3]`` without loss: each row as its differences from the row above (filter 2 of RFC 2083)."""
    height, width, _ = pixels.shape
    rows = pixels.reshape(height, -1)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    filtered = np.hstack([np.full((height, 1), 2, dtype=np.uint8), rows - above])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(filtered.tobytes(), level=6)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_zip(files: Sequence[bytes]) -> bytes:
    """``0.png``, ``1.png``, … in order, stored; the same images give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, data in enumerate(files):
            archive.writestr(zipfile.ZipInfo(f"{number}.png", EPOCH), data)
    return buffer.getvalue()


def write_numbers(pictures: Sequence[Picture], output: str) -> bytes:
    """``{"images": [[[[…]]]]}``: means ``[rows, columns, 3]``, or latents ``[channels, rows, columns]``."""
    arrays = [each.latent if output == "latents" else _means(each.pixels) for each in pictures]
    return json.dumps({"images": [_shortest(each) for each in arrays]}, separators=(",", ":")).encode()


def _means(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width, colours = pixels.shape
    blocks = pixels.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, colours)
    means: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float64).astype(np.float32)
    return means


def _shortest(array: NDArray[np.float32]) -> Any:
    """Nested lists, each number by the shortest digits that give the same float32."""
    return array.astype(str).astype(np.float64).tolist()
