"""Does an answer equal the reference? The same rule as the container's own self-check (entrypoints/answers.py): a test
holds them together."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from typing import Any

WAV = ("audio/wav", "audio/wave", "audio/x-wav", "audio/vnd.wave")
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


def distance(answer: bytes, reference: bytes, media_type: str) -> float:
    """The largest absolute difference of two answers: of a WAV's samples (full scale is 1), of a JSON document's numbers
    at the same places; infinity where they are of different shapes or cannot be read; of anything else 0 where the
    bytes are equal, else infinity."""
    kind = media_type.partition(";")[0].strip().lower()
    try:
        if kind in WAV:
            return _furthest(wav_samples(answer), wav_samples(reference))
        if kind == "application/json" or kind.endswith("+json"):
            return _furthest(list(_numbers(json.loads(answer))), list(_numbers(json.loads(reference))))
    except ValueError:
        return math.inf
    return 0.0 if answer == reference else math.inf


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
    """The samples of a WAV, PCM of 8 to 32 bits or floats, as floats in -1..1, its rate and channels in front.

    Raises ValueError for what is no such file.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError("no RIFF header")
    chunks: dict[bytes, bytes] = {}
    for name, content in _chunks(data):
        chunks.setdefault(name, content)
    form, body = chunks.get(b"fmt ", b""), chunks.get(b"data")
    if len(form) < 16 or body is None:
        raise ValueError("no fmt or no data chunk")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if kind == _EXTENSIBLE and len(form) >= 26:
        kind = int.from_bytes(form[24:26], "little")
    if not channels or not bits or bits % 8 or len(body) % (channels * bits // 8):
        raise ValueError("its data is no whole number of frames")
    return [f"{channels} channels at {rate} Hz", *_scaled(body, kind, bits)]


def _scaled(body: bytes, kind: int, bits: int) -> Iterator[float]:
    if kind == _FLOAT and bits in (32, 64):
        return (float(value) for (value,) in struct.iter_unpack("<f" if bits == 32 else "<d", body))
    if kind == _PCM and bits == 8:
        return ((value - 128) / 128 for value in body)
    if kind == _PCM and bits in (16, 24, 32):
        step, full = bits // 8, 2.0 ** (bits - 1)
        return (int.from_bytes(body[at : at + step], "little", signed=True) / full for at in range(0, len(body), step))
    raise ValueError(f"format {kind} with {bits} bits is not read here")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        size = struct.unpack_from("<I", data, at + 4)[0]
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
