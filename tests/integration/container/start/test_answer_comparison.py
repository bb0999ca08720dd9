"""When two answers agree: with numpy, as in the container, and without, as in a builder that lacks it."""

from __future__ import annotations

import ast
import io
import json
import math
import struct
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entrypoints.model import answer_comparison
from entrypoints.model.answer_comparison import find_difference, measure_distance

WAV, JSON = "audio/wav", "application/json"
TOLERANCE = 0.01


def wav(
    body: bytes, *, kind: int = 1, bits: int = 16, channels: int = 1, rate: int = 48000, before: bytes = b""
) -> bytes:
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits)
    content = b"WAVE" + before + chunk(b"fmt ", form) + chunk(b"data", body)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def pcm16(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


def pcm24(*values: int) -> bytes:
    return b"".join(value.to_bytes(3, "little", signed=True) for value in values)


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def document(value: object) -> bytes:
    return json.dumps(value).encode()


def extensible(body: bytes) -> bytes:
    form = struct.pack("<HHIIHHHHIH", 0xFFFE, 1, 48000, 96000, 2, 16, 22, 16, 4, 1) + bytes(14)
    content = b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", body)
    return b"RIFF" + struct.pack("<I", len(content)) + content


CASES = {
    "equal sounds": (WAV, wav(pcm16(0, 9)), wav(pcm16(0, 9)), True),
    "a sample within the tolerance": (WAV, wav(pcm16(0, 100)), wav(pcm16(0, 300)), True),
    "a sample too far": (WAV, wav(pcm16(0, 100)), wav(pcm16(0, 900)), False),
    "floats within it": (WAV, wav(floats(0.5), kind=3, bits=32), wav(floats(0.505), kind=3, bits=32), True),
    "floats too far": (WAV, wav(floats(0.5), kind=3, bits=32), wav(floats(0.52), kind=3, bits=32), False),
    "floats and PCM of the same sound": (WAV, wav(floats(0.5), kind=3, bits=32), wav(pcm16(16384)), True),
    "doubles": (WAV, wav(struct.pack("<d", 0.5), kind=3, bits=64), wav(pcm16(0)), False),
    "8 bits": (WAV, wav(bytes([128, 255]), bits=8), wav(bytes([128, 0]), bits=8), False),
    "24 bits, the same": (WAV, wav(pcm24(-5, 70000), bits=24), wav(pcm24(-5, 70000), bits=24), True),
    "24 bits, another": (WAV, wav(pcm24(0, 70000), bits=24), wav(pcm24(0, 7000000), bits=24), False),
    "32 bits": (WAV, wav(struct.pack("<i", 2**30), bits=32), wav(pcm16(16384)), True),
    "the extensible header": (WAV, extensible(pcm16(5)), wav(pcm16(5)), True),
    "a chunk before": (WAV, wav(pcm16(5), before=chunk(b"LIST", b"abc")), wav(pcm16(5)), True),
    "another length": (WAV, wav(pcm16(0)), wav(pcm16(0, 0)), False),
    "another rate": (WAV, wav(pcm16(0)), wav(pcm16(0), rate=44100), False),
    "other channels": (WAV, wav(pcm16(0, 0)), wav(pcm16(0, 0), channels=2), False),
    "no samples": (WAV, wav(b""), wav(b""), True),
    "a sample that is no number": (WAV, wav(floats(math.nan), kind=3, bits=32), wav(floats(0), kind=3, bits=32), False),
    "the same that is no number": (
        WAV,
        wav(floats(math.nan), kind=3, bits=32),
        wav(floats(math.nan), kind=3, bits=32),
        False,
    ),
    "no WAV": (WAV, wav(pcm16(0)), b"<html>", False),
    "neither a WAV": (WAV, b"one", b"other", False),
    "a format that is not read": (WAV, wav(b"ab", kind=7, bits=8), wav(b"cd", kind=7, bits=8), False),
    "half a frame": (WAV, wav(b"abc"), wav(b"abd"), False),
    "no data chunk": (WAV, b"RIFF\4\0\0\0WAVE", wav(pcm16(0)), False),
    "another name of the type": ("audio/x-wav; codecs=1", wav(pcm16(0, 100)), wav(pcm16(0, 300)), True),
    "equal documents": (JSON, b'{"a": 1}', b'{ "a":1.0 }', True),
    "keys in another order": (JSON, document({"a": 1, "b": 2}), document({"b": 2, "a": 1}), True),
    "a number within the tolerance": (JSON, document([[1, 2.0]]), document([[1.005, 2]]), True),
    "a number too far": (JSON, document({"a": [1, 2]}), document({"a": [1, 2.5]}), False),
    "another word": (JSON, document({"a": "x"}), document({"a": "y"}), False),
    "a number for a word": (JSON, document(["1"]), document([1]), False),
    "a truth for a number": (JSON, document([1]), document([True]), False),
    "nothing for a truth": (JSON, document([None]), document([False]), False),
    "another key": (JSON, document({"a": 1}), document({"b": 1}), False),
    "a key more": (JSON, document({"a": 1}), document({"a": 1, "b": 1}), False),
    "a list for an object": (JSON, document({"a": []}), document({"a": {}}), False),
    "a flatter list": (JSON, document([[1], [2]]), document([[1, 2]]), False),
    "a shorter list": (JSON, document([1, 2]), document([1]), False),
    "no number": (JSON, document([math.nan]), document([math.nan]), False),
    "an endless number": (JSON, document([math.inf]), document([math.inf]), False),
    "no JSON": (JSON, document([1]), b"[1", False),
    "a dialect of JSON": ("application/geo+json", document([1]), document([1.001]), True),
    "the same bytes": ("image/png", b"png", b"png", True),
    "other bytes": ("image/png", b"png", b"pnG", False),
}


@pytest.fixture(params=["numpy", "no numpy"])
def numpy_or_none(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no numpy":
        monkeypatch.setitem(sys.modules, "numpy", None)  # importing it raises ModuleNotFoundError


@pytest.mark.usefixtures("numpy_or_none")
@pytest.mark.parametrize(("media_type", "expected", "actual", "equal"), CASES.values(), ids=CASES)
def test_answers_agree_within_the_tolerance(media_type: str, expected: bytes, actual: bytes, equal: bool) -> None:
    for one, other in ((expected, actual), (actual, expected)):
        assert (find_difference(one, other, media_type, TOLERANCE) is None) is equal
        assert (measure_distance(one, other, media_type) <= TOLERANCE) is equal


@pytest.mark.usefixtures("numpy_or_none")
def test_the_distance_is_that_of_the_sample_that_is_named() -> None:
    one, other = wav(pcm16(0, 0, 0, 0), channels=2), wav(pcm16(0, 0, 0, 8192), channels=2)
    assert measure_distance(one, other, WAV) == 0.25
    assert find_difference(one, other, WAV, 0.1) == "samples differ by up to 0.25 at frame 1, the tolerance is 0.1"


def test_the_module_imports_the_standard_library_alone() -> None:
    """As the builder loads it by its path."""
    tree = ast.parse(Path(answer_comparison.__file__).read_text(encoding="utf-8"))
    names = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def write_wave(samples: np.ndarray, bits: int, rate: int = 48_000) -> bytes:
    if bits < 0:
        data = samples.astype("<f4").tobytes()
        header = struct.pack(
            "<HHIIHH", 3, samples.shape[1], rate, rate * 4 * samples.shape[1], 4 * samples.shape[1], 32
        )
        chunks = b"fmt " + struct.pack("<I", 16) + header + b"data" + struct.pack("<I", len(data)) + data
        return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        wide = np.round(samples * (2 ** (bits - 1) - 1)).astype("<i4")
        file.writeframes(wide.view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes())
    return target.getvalue()


@pytest.mark.parametrize("bits", [16, 24, 32, -32])
def test_waves_agree_within_the_tolerance_of_full_scale(bits: int) -> None:
    samples = np.linspace(-0.9, 0.9, 600, dtype=np.float64).reshape(-1, 2)
    near, far = samples.copy(), samples.copy()
    near[7, 1] += 0.0005
    far[7, 1] += 0.002
    expected = write_wave(samples, bits)
    assert find_difference(expected, write_wave(near, bits), "audio/wav", 0.001) is None
    assert "frame 7" in (find_difference(expected, write_wave(far, bits), "audio/wav", 0.001) or "")


def test_waves_of_another_shape_rate_or_kind_differ() -> None:
    samples = np.zeros((10, 2))
    expected = write_wave(samples, 16)
    for other in (
        write_wave(samples[:9], 16),
        write_wave(samples[:, :1], 16),
        write_wave(samples, 16, 44_100),
        b"RIFF",
    ):
        assert find_difference(expected, other, "audio/wav", 1.0) is not None


def test_not_a_number_agrees_with_nothing() -> None:
    broken = np.zeros((10, 1))
    broken[3] = math.nan
    assert find_difference(write_wave(np.zeros((10, 1)), -32), write_wave(broken, -32), "audio/wav", 1.0) is not None
    assert find_difference(b"[NaN]", b"[NaN]", "application/json", 1.0) is not None


@pytest.mark.parametrize(
    ("expected", "actual", "place"),
    [
        ({"a": [1, 2.0]}, {"a": [1.0005, 2]}, None),
        ({"a": [1, 2]}, {"a": [1, 2.1]}, "$.a[1]"),
        ({"a": 1}, {"b": 1}, "$: expected the names"),
        ([1], [1, 1], "$: expected 1 entries"),
        ({"a": "x"}, {"a": "y"}, "$.a"),
        ({"a": True}, {"a": 1}, "$.a"),
        ({"a": None}, {"a": 0}, "$.a"),
    ],
)
def test_json_agrees_in_its_numbers(expected: Any, actual: Any, place: str | None) -> None:
    found = find_difference(json.dumps(expected).encode(), json.dumps(actual).encode(), "application/json", 0.001)
    assert found is None if place is None else place in str(found)


def test_json_that_differs_in_numbers_alone_tells_the_largest_difference() -> None:
    found = find_difference(b'{"a": [1, 2, [3]]}', b'{"a": [1.5, 2, [1]]}', "application/json", 0.001)
    assert found == "$.a[0]: expected 1, got 1.5; numbers differ by up to 2, the tolerance is 0.001"


def test_other_media_types_agree_byte_for_byte() -> None:
    assert find_difference(b"abc", b"abc", "image/png", 1) is None
    assert "byte 2" in str(find_difference(b"abc", b"abd", "image/png", 1))
