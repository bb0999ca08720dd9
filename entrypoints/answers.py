"""Is an answer the one that was expected? By media type, within a tolerance, saying where they differ."""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


class Wave(NamedTuple):
    """``samples``: float64 in -1…1, shape (frames, channels)."""

    rate: int
    samples: np.ndarray


def find_difference(expected: bytes, actual: bytes, media_type: str, tolerance: float) -> str | None:
    """None where they agree. ``tolerance``: the largest absolute difference of samples (full scale is 1) or numbers."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind in ("audio/wav", "audio/wave", "audio/x-wav", "audio/vnd.wave"):
        return compare_waves(expected, actual, tolerance)
    if kind == "application/json" or kind.endswith("+json"):
        return compare_json(expected, actual, tolerance)
    return None if expected == actual else compare_bytes(expected, actual)


def compare_bytes(expected: bytes, actual: bytes) -> str:
    pairs = enumerate(zip(expected, actual, strict=False))
    where = next((index for index, (left, right) in pairs if left != right), min(len(expected), len(actual)))
    return f"{len(expected)} bytes expected, {len(actual)} given, different from byte {where} on"


def compare_waves(expected: bytes, actual: bytes, tolerance: float) -> str | None:
    import numpy as np

    try:
        left, right = read_wave(expected), read_wave(actual)
    except ValueError as error:
        return f"not a WAV: {error}"
    if left.rate != right.rate or left.samples.shape != right.samples.shape:
        return f"{describe(left)} expected, {describe(right)} given"
    if left.samples.size == 0:
        return None
    difference = np.abs(left.samples - right.samples)
    worst = float(difference.max())  # NaN anywhere gives NaN, and NaN is not within the tolerance
    if worst <= tolerance:
        return None
    frame = int(np.argmax(np.nan_to_num(difference, nan=np.inf)) // left.samples.shape[1])
    return f"samples differ by up to {worst:.3g} at frame {frame}, the tolerance is {tolerance:g}"


def describe(wave: Wave) -> str:
    frames, channels = wave.samples.shape
    return f"{frames} frames of {channels} channels at {wave.rate} Hz"


def read_wave(content: bytes) -> Wave:
    """PCM of 8 to 32 bits and IEEE floats; the standard library's module reads no floats. Raises ValueError."""
    chunks = split_chunks(content)
    if b"fmt " not in chunks or b"data" not in chunks or len(chunks[b"fmt "]) < 16:
        raise ValueError("no fmt or no data chunk")
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", chunks[b"fmt "][:16])
    if kind == EXTENSIBLE and len(chunks[b"fmt "]) >= 26:
        kind = int.from_bytes(chunks[b"fmt "][24:26], "little")
    data = chunks[b"data"]
    if not channels or not bits or bits % 8 or len(data) % (channels * bits // 8):
        raise ValueError("its data is no whole number of frames")
    return Wave(rate, scale_samples(data, kind, bits).reshape(-1, channels))


def split_chunks(content: bytes) -> dict[bytes, bytes]:
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ValueError("no RIFF header")
    chunks: dict[bytes, bytes] = {}
    position = 12
    while position + 8 <= len(content):
        size = int.from_bytes(content[position + 4 : position + 8], "little")
        chunks.setdefault(content[position : position + 4], content[position + 8 : position + 8 + size])
        position += 8 + size + size % 2
    return chunks


def scale_samples(data: bytes, kind: int, bits: int) -> np.ndarray:
    import numpy as np

    if kind == FLOAT and bits in (32, 64):
        return np.frombuffer(data, np.dtype(f"<f{bits // 8}")).astype(np.float64)
    if kind == PCM and bits == 8:
        return (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    if kind == PCM and bits == 24:
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples: np.ndarray = wide.view("<i4")[:, 0].astype(np.float64) / 2**31
        return samples
    if kind == PCM and bits in (16, 32):
        return np.frombuffer(data, np.dtype(f"<i{bits // 8}")).astype(np.float64) / 2.0 ** (bits - 1)
    raise ValueError(f"format {kind} with {bits} bits is not read here")


def compare_json(expected: bytes, actual: bytes, tolerance: float) -> str | None:
    try:
        left, right = json.loads(expected), json.loads(actual)
    except ValueError as error:
        return f"not JSON: {error}"
    found = compare_values(left, right, tolerance, "$")
    if found is None or compare_values(left, right, math.inf, "$"):
        return found
    return f"{found}; numbers differ by up to {furthest(left, right):.3g}, the tolerance is {tolerance:g}"


def compare_values(left: object, right: object, tolerance: float, where: str) -> str | None:
    """The first difference, with its place."""
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            return f"{where}: names {sorted(left)} expected, {sorted(right)} given"
        pairs = [(left[name], right[name], f"{where}.{name}") for name in left]
    elif isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            return f"{where}: {len(left)} entries expected, {len(right)} given"
        pairs = [(a, b, f"{where}[{index}]") for index, (a, b) in enumerate(zip(left, right, strict=True))]
    else:
        return None if agree(left, right, tolerance) else f"{where}: {left!r} expected, {right!r} given"
    return next((found for a, b, place in pairs if (found := compare_values(a, b, tolerance, place))), None)


def furthest(left: object, right: object) -> float:
    """The largest difference of two documents that differ in numbers alone."""
    if isinstance(left, dict) and isinstance(right, dict):
        return max((furthest(left[name], right[name]) for name in left), default=0.0)
    if isinstance(left, list) and isinstance(right, list):
        return max((furthest(a, b) for a, b in zip(left, right, strict=True)), default=0.0)
    return abs(left - right) if isinstance(left, (int, float)) and isinstance(right, (int, float)) else 0.0


def agree(left: object, right: object, tolerance: float) -> bool:
    numbers = [v for v in (left, right) if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) == 2:
        difference = abs(numbers[0] - numbers[1])
        return math.isfinite(difference) and difference <= tolerance
    return type(left) is type(right) and left == right
