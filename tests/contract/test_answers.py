"""The builder's comparison of answers and the container's own say the same."""

from __future__ import annotations

import json
import math
import struct

import pytest

from entrypoints.answers import find_difference
from prebake.measure.answers import distance

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


@pytest.mark.parametrize(("media_type", "expected", "actual", "equal"), CASES.values(), ids=CASES)
def test_builder_and_container_agree_on_what_equals_the_reference(
    media_type: str, expected: bytes, actual: bytes, equal: bool
) -> None:
    for one, other in ((expected, actual), (actual, expected)):
        assert (find_difference(one, other, media_type, TOLERANCE) is None) is equal
        assert (distance(other, one, media_type) <= TOLERANCE) is equal
