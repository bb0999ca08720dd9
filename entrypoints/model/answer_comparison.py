"""Compares an answer with the expected one, by media type and within a tolerance, and says where they differ.

The one implementation: the container compares its warm-up answer with it, and the builder loads this file by its path
(prebake/measure/answers.py). So this module imports the standard library alone; numpy makes it fast if it is installed.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
WAVE_TYPES = ("audio/wav", "audio/wave", "audio/x-wav", "audio/vnd.wave")


class Wave(NamedTuple):
    """``samples``: in -1…1, one channel's after the other's for each frame; an array of float64, or a list without numpy."""

    rate: int
    channels: int
    samples: np.ndarray | Sequence[float]

    @property
    def frames(self) -> int:
        return len(self.samples) // self.channels


def find_difference(expected: bytes, actual: bytes, media_type: str, tolerance: float) -> str | None:
    """None if they agree. ``tolerance``: the largest absolute difference of samples (full scale is 1) or numbers."""
    kind = read_kind(media_type)
    if kind == "wave":
        return compare_waves(expected, actual, tolerance)
    if kind == "json":
        return compare_json(expected, actual, tolerance)
    return None if expected == actual else compare_bytes(expected, actual)


def measure_distance(expected: bytes, actual: bytes, media_type: str) -> float:
    """The smallest tolerance with which they agree; infinity if they agree with none."""
    kind = read_kind(media_type)
    try:
        if kind == "wave":
            left, right = read_wave(expected), read_wave(actual)
            return find_worst_sample(left, right)[0] if have_same_shape(left, right) else math.inf
        if kind == "json":
            documents = json.loads(expected), json.loads(actual)
            return math.inf if compare_values(*documents, math.inf, "$") else find_largest_difference(*documents)
    except ValueError:
        return math.inf
    return 0.0 if expected == actual else math.inf


def read_kind(media_type: str) -> str:
    """``wave``, ``json`` or ``bytes``."""
    name = media_type.partition(";")[0].strip().lower()
    if name in WAVE_TYPES:
        return "wave"
    return "json" if name == "application/json" or name.endswith("+json") else "bytes"


def compare_bytes(expected: bytes, actual: bytes) -> str:
    pairs = enumerate(zip(expected, actual, strict=False))
    where = next((index for index, (left, right) in pairs if left != right), min(len(expected), len(actual)))
    return f"expected {len(expected)} bytes, got {len(actual)}; they differ from byte {where} on"


def compare_waves(expected: bytes, actual: bytes, tolerance: float) -> str | None:
    try:
        left, right = read_wave(expected), read_wave(actual)
    except ValueError as error:
        return f"not a WAV: {error}"
    if not have_same_shape(left, right):
        return f"expected {describe_wave(left)}, got {describe_wave(right)}"
    worst, index = find_worst_sample(left, right)
    if worst <= tolerance:
        return None
    return f"samples differ by up to {worst:.3g} at frame {index // left.channels}, the tolerance is {tolerance:g}"


def have_same_shape(left: Wave, right: Wave) -> bool:
    return (left.rate, left.channels, len(left.samples)) == (right.rate, right.channels, len(right.samples))


def find_worst_sample(left: Wave, right: Wave) -> tuple[float, int]:
    """The largest absolute difference and its index. NaN agrees with nothing: its difference is infinite."""
    if not len(left.samples):
        return 0.0, 0
    numpy = import_numpy()
    if numpy is not None:
        differences = numpy.nan_to_num(numpy.abs(numpy.subtract(left.samples, right.samples)), nan=math.inf)
        index = int(differences.argmax())
        return float(differences[index]), index
    pairs = zip(left.samples, right.samples, strict=True)
    apart = [math.inf if math.isnan(one - other) else abs(one - other) for one, other in pairs]
    return max(apart), apart.index(max(apart))


def describe_wave(wave: Wave) -> str:
    return f"{wave.frames} frames of {wave.channels} channels at {wave.rate} Hz"


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
        raise ValueError("its data is not a whole number of frames")
    if (kind, bits) not in ((FLOAT, 32), (FLOAT, 64), (PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32)):
        raise ValueError(f"format {kind} with {bits} bits is not supported")
    numpy = import_numpy()
    samples = list(iterate_samples(data, kind, bits)) if numpy is None else scale_samples(numpy, data, kind, bits)
    return Wave(rate, channels, samples)


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


def scale_samples(numpy: Any, data: bytes, kind: int, bits: int) -> np.ndarray:
    if kind == FLOAT:
        samples: np.ndarray = numpy.frombuffer(data, f"<f{bits // 8}").astype(numpy.float64)
    elif bits == 8:
        samples = (numpy.frombuffer(data, numpy.uint8).astype(numpy.float64) - 128) / 128
    elif bits == 24:
        wide = numpy.zeros((len(data) // 3, 4), numpy.uint8)
        wide[:, 1:] = numpy.frombuffer(data, numpy.uint8).reshape(-1, 3)
        samples = wide.view("<i4")[:, 0].astype(numpy.float64) / 2**31
    else:
        samples = numpy.frombuffer(data, f"<i{bits // 8}").astype(numpy.float64) / 2.0 ** (bits - 1)
    return samples


def iterate_samples(data: bytes, kind: int, bits: int) -> Iterator[float]:
    """As ``scale_samples``, without numpy."""
    if kind == FLOAT:
        return (float(value) for (value,) in struct.iter_unpack("<f" if bits == 32 else "<d", data))
    if bits == 8:
        return ((value - 128) / 128 for value in data)
    step, full = bits // 8, 2.0 ** (bits - 1)
    return (int.from_bytes(data[at : at + step], "little", signed=True) / full for at in range(0, len(data), step))


def import_numpy() -> Any:
    """The builder's process may lack it: None then."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def compare_json(expected: bytes, actual: bytes, tolerance: float) -> str | None:
    try:
        left, right = json.loads(expected), json.loads(actual)
    except ValueError as error:
        return f"not JSON: {error}"
    difference = compare_values(left, right, tolerance, "$")
    if difference is None or compare_values(left, right, math.inf, "$"):
        return difference
    return f"{difference}; numbers differ by up to {find_largest_difference(left, right):.3g}, the tolerance is {tolerance:g}"


def compare_values(left: object, right: object, tolerance: float, where: str) -> str | None:
    """The first difference, with its place."""
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            return f"{where}: expected the names {sorted(left)}, got {sorted(right)}"
        pairs = [(left[name], right[name], f"{where}.{name}") for name in left]
    elif isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            return f"{where}: expected {len(left)} entries, got {len(right)}"
        pairs = [(a, b, f"{where}[{index}]") for index, (a, b) in enumerate(zip(left, right, strict=True))]
    else:
        return None if values_agree(left, right, tolerance) else f"{where}: expected {left!r}, got {right!r}"
    return next((text for a, b, place in pairs if (text := compare_values(a, b, tolerance, place))), None)


def find_largest_difference(left: object, right: object) -> float:
    """The largest difference of two documents that differ in numbers alone."""
    if isinstance(left, dict) and isinstance(right, dict):
        return max((find_largest_difference(left[name], right[name]) for name in left), default=0.0)
    if isinstance(left, list) and isinstance(right, list):
        return max((find_largest_difference(a, b) for a, b in zip(left, right, strict=True)), default=0.0)
    return abs(left - right) if isinstance(left, (int, float)) and isinstance(right, (int, float)) else 0.0


def values_agree(left: object, right: object, tolerance: float) -> bool:
    numbers = [v for v in (left, right) if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) == 2:
        difference = abs(numbers[0] - numbers[1])
        return math.isfinite(difference) and difference <= tolerance
    return type(left) is type(right) and left == right
