"""The builder measures how far two answers are apart by the container's own code."""

from __future__ import annotations

import io
import json
import math
import struct
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from prebake.measure.answers import measure_distance
from tests.support.repository import ROOT


def float_wav(samples: list[float], rate: int = 48000) -> bytes:
    data = struct.pack(f"<{len(samples)}f", *samples)
    form = struct.pack("<HHIIHH", 3, 1, rate, rate * 4, 4, 32)
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def pcm_wav(samples: list[int]) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return buffer.getvalue()


def test_samples_are_compared_by_value() -> None:
    assert measure_distance(float_wav([0.0, 0.5]), float_wav([0.0, 0.25]), "audio/wav") == 0.25
    assert measure_distance(pcm_wav([0, 16384]), pcm_wav([0, 8192]), "audio/wav") == 0.25


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (float_wav([0.0]), float_wav([0.0, 0.0])),
        (float_wav([0.0]), float_wav([0.0], rate=44100)),
        (float_wav([0.0]), float_wav([math.nan])),
        (float_wav([0.0]), b"not a wav"),
    ],
)
def test_sounds_of_another_shape_are_never_equal(one: bytes, other: bytes) -> None:
    assert measure_distance(one, other, "audio/wav") == math.inf


def test_json_is_compared_number_by_number_at_the_same_places() -> None:
    one, near = {"e": [[1.0, 2]], "n": "x"}, {"n": "x", "e": [[1.0, 2.5]]}
    assert measure_distance(json.dumps(one).encode(), json.dumps(near).encode(), "application/json") == 0.5
    for other in (
        {"e": [[1.0]], "n": "x"},
        {"e": [[1.0, 2]], "n": "y"},
        {"f": [[1.0, 2]], "n": "x"},
        {"e": [[1.0, True]], "n": "x"},
    ):
        assert measure_distance(json.dumps(one).encode(), json.dumps(other).encode(), "application/json") == math.inf


def test_anything_else_is_compared_by_its_bytes() -> None:
    assert measure_distance(b"a", b"a", "image/png") == 0.0
    assert measure_distance(b"a", b"b", "image/png") == math.inf


def test_the_builder_goes_on_without_numpy_and_without_the_entrypoints_as_a_package(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['numpy'] = sys.modules['entrypoints'] = None\n"
        "from prebake.measure.answers import measure_distance\n"
        "print(measure_distance(b'[1.5]', b'[1]', 'application/json'))"
    )
    output = subprocess.check_output([sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert float(output) == 0.5
