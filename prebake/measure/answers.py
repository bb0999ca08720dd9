"""Does an answer equal the reference? The same rule as the container's own self-check (entrypoints/answers.py)."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from typing import Any


def distance(answer: bytes, reference: bytes, media_type: str) -> float:
    """The largest absolute difference of two answers: of a WAV's samples, of a JSON document's numbers at the same
    places; infinity where they are of different shapes; of anything else 0 where the bytes are equal, else infinity."""
    if answer == reference:
        return 0.0
    if media_type == "audio/wav":
        return _furthest(wav_samples(answer), wav_samples(reference))
    if media_type == "application/json":
        return _furthest(list(_numbers(json.loads(answer))), list(_numbers(json.loads(reference))))
    return math.inf


def _furthest(left: list[Any], right: list[Any]) -> float:
    if len(left) != len(right):
        return math.inf
    return max((_apart(one, other) for one, other in zip(left, right, strict=True)), default=0.0)


def _apart(one: Any, other: Any) -> float:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) if math.isfinite(one) and math.isfinite(other) else math.inf
    return 0.0 if one == other else math.inf


def _numbers(value: Any, path: str = "") -> Iterator[Any]:
    """Every leaf: numbers as floats, anything else with its path, so that another shape never compares equal."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield f"{path}.{key}"
            yield from _numbers(value[key], f"{path}.{key}")
    elif isinstance(value, list):
        yield f"{path}[{len(value)}]"
        for item in value:
            yield from _numbers(item, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float(value)
    else:
        yield f"{path}={value!r}"


def wav_samples(data: bytes) -> list[Any]:
    """The samples of a PCM16 or float32 WAV as floats in -1..1, its rate and channels in front."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return ["not a WAV"]
    chunks = dict(_chunks(data))
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
    body = chunks[b"data"]
    if (kind, bits) == (3, 32):
        samples = [float(value) for (value,) in struct.iter_unpack("<f", body)]
    elif (kind, bits) == (1, 16):
        samples = [value / 32768 for (value,) in struct.iter_unpack("<h", body)]
    else:
        return [f"WAV of kind {kind}, {bits} bits"]
    return [f"{channels} channels at {rate} Hz", *samples]


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        size = struct.unpack_from("<I", data, at + 4)[0]
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
