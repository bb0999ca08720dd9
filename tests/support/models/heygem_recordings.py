"""Voices and faces, made on the spot."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from images.heygem.warmup import encode_png

Samples = NDArray[np.float64]


def speech(seconds: float, rate: int = 16_000) -> Samples:
    """A tone whose pitch and loudness wander, -1..1."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(180 + 60 * np.sin(7 * time)) / rate
    return (0.3 + 0.2 * np.sin(11 * time)) * np.sin(phase)


def click(seconds: float, at: float, rate: int = 16_000) -> Samples:
    """Noise that is hardly heard, and 10 ms that are, from ``at`` seconds on."""
    samples = np.random.RandomState(3).standard_normal(round(seconds * rate)) * 1e-3
    start, length = round(at * rate), rate // 100
    samples[start : start + length] += 0.6 * np.sin(np.arange(length) * 12_800 / rate)
    return samples


def record(samples: Samples, kind: str = "wav", codec: str = "pcm_s16le", rate: int = 16_000) -> bytes:
    """One channel as a file."""
    body = io.BytesIO()
    with av.open(body, "w", format=kind) as target:
        stream = target.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return body.getvalue()


def wav(data: bytes, rate: int, channels: int = 1, kind: int = 1, size: int = 2) -> bytes:
    """``kind`` 1: whole numbers of ``size`` bytes, 3: floats (RFC 2361)."""
    frame = size * channels
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, kind, channels, rate, min(rate * frame, 2**32 - 1), frame, 8 * size)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def portrait(seed: int, height: int = 256, width: int = 256) -> bytes:
    """A png of a few soft spots."""
    return encode_png(paint(seed, height, width))


def paint(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    places = np.random.RandomState(seed).uniform(0, 1, (3, 3))
    spots = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / (0.05 + 0.1 * c)) for a, b, c in places]
    return (40 + 200 * np.stack(spots, axis=-1)).astype(np.uint8)


def film(
    seeds: Sequence[int],
    rate: int = 25,
    side: int = 96,
    kind: str = "mp4",
    codec: str = "libx264",
    form: str = "yuv420p",
) -> bytes:
    """One picture for each seed, ``rate`` a second."""
    body = io.BytesIO()
    with av.open(body, "w", format=kind) as target:
        stream = target.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = side, side, form
        for seed in seeds:
            target.mux(stream.encode(av.VideoFrame.from_ndarray(paint(seed, side, side), format="rgb24")))
        target.mux(stream.encode(None))
    return body.getvalue()


def archive(files: Mapping[str, bytes]) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return body.getvalue()


def lie(files: Mapping[str, bytes], method: int, size: int, summed: int | None = None) -> bytes:
    """An archive that says that each of its files has ``size`` bytes, with the check sum of those, or of ``summed``."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", method) as target:
        for name, content in files.items():
            target.writestr(name, content)
            said = target.getinfo(name)
            said.file_size, said.CRC = size, zlib.crc32(content[: summed or size])
    return body.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """Of a png."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def empty_png(width: int, height: int, depth: int = 8, colors: int = 1) -> bytes:
    """A black one, packed to a thousandth of its size; the kinds of 1 and 4 colors are 0 and 6 (RFC 2083, 4.1.1)."""
    row = b"\0" + bytes(width * colors * depth // 8)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, {1: 0, 4: 6}[colors], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def box(kind: bytes, content: bytes) -> bytes:
    """Of a film: ISO/IEC 14496-12, 4.2."""
    return struct.pack(">I", 8 + len(content)) + kind + content


def pack_header(movie: bytes) -> bytes:
    """A film with its header compressed, as QuickTime wrote it."""
    place = movie.index(b"moov") - 4
    (size,) = struct.unpack_from(">I", movie, place)
    header = movie[place : place + size]
    packed = box(b"cmvd", struct.pack(">I", len(header)) + zlib.compress(header, 9))
    return movie[:place] + box(b"moov", box(b"cmov", box(b"dcom", b"zlib") + packed)) + movie[place + size :]


def tag(packed: int) -> bytes:
    """An ID3 tag with a cover of ``packed`` zeros, compressed (ID3v2.4, 4.1.2)."""
    content = b"\0image/png\0\3\0" + bytes(packed)
    frame = _seven_bits(len(content)) + zlib.compress(content, 9)
    frames = b"APIC" + _seven_bits(len(frame)) + b"\0\x09" + frame  # compressed, and with its length before it
    return b"ID3\4\0\0" + _seven_bits(len(frames)) + frames


def _seven_bits(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def with_old_tag(sound: bytes) -> bytes:
    """A sound with a tag as programs wrote it before Unicode, in Latin-1 (ID3v1)."""
    return sound + b"TAG" + "Größe".encode("latin-1").ljust(125, b"\0")


def with_tag_chunk(wav: bytes, tag: bytes) -> bytes:
    """A wav with a tag at its end."""
    data = wav + b"id3 " + struct.pack("<I", len(tag)) + tag
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def unpack(body: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(body)) as source:
        return {name: source.read(name) for name in source.namelist()}


class Watched:
    """What a player gets from an answer."""

    def __init__(self, body: bytes) -> None:
        with av.open(io.BytesIO(body)) as file:
            stream, sound = file.streams.video[0], file.streams.audio[0]
            self.codecs = stream.codec_context.name, stream.codec_context.pix_fmt, sound.codec_context.name
            self.rate, self.sound_rate = float(stream.average_rate), sound.rate
            frames = list(file.decode(stream))
        with av.open(io.BytesIO(body)) as file:
            parts = list(file.decode(audio=0))
        self.times = [frame.time for frame in frames]
        self.pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
        self.sound = np.concatenate([part.to_ndarray()[0] for part in parts])
        self.sound_start = parts[0].time
