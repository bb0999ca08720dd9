"""Pictures and sounds on which ways to prepare them differ, if one of their settings does."""

from __future__ import annotations

import io
import wave

import numpy as np
from PIL import Image

_TURNED = {0x0112: 6}  # EXIF: the camera was held upright


def hard_pictures(sample: bytes) -> list[bytes]:
    """Files of the sample in other proportions, modes and formats: wide, high, tiny, grey, transparent, turned by its EXIF."""
    picture = Image.open(io.BytesIO(sample)).convert("RGB")
    exif = Image.Exif()
    exif.update(_TURNED)
    noise = np.random.default_rng(4).integers(0, 256, (23, 41, 3), np.uint8)
    return [
        sample,
        _file(picture.resize((301, 97)), "PNG"),
        _file(picture.resize((75, 222)), "JPEG", exif=exif.tobytes()),
        _file(picture.resize((20, 33)).convert("L"), "WEBP", lossless=True),
        _file(picture.convert("RGBA"), "PNG"),
        _file(picture.convert("P"), "PNG"),
        _file(Image.fromarray(noise).resize((190, 130), Image.Resampling.BICUBIC), "PNG"),
    ]


def _file(picture: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def hard_sounds(samples: np.ndarray[tuple[int], np.dtype[np.float32]], rate: int) -> list[bytes]:
    """WAV files of 16 bits and one channel: the samples [n], a part of them, and the same quiet, shifted and with noise."""
    noise = np.random.default_rng(9).uniform(-0.4, 0.4, len(samples))
    kinds = (samples, samples[: len(samples) // 3], samples * 0.05, samples * 0.5 + 0.3, noise, samples * 0.5 + noise)
    return [_wav(np.clip(each, -1, 1), rate) for each in kinds]


def _wav(samples: np.ndarray[tuple[int], np.dtype[np.floating]], rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(np.round(samples * 32_767).astype("<i2").tobytes())
    return file.getvalue()
