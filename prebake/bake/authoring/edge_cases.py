"""Texts, images and audio that reveal a wrong preprocessing setting: two implementations differ on at least one of them."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

_TEXTS = (
    "A container starts warm.",
    "Weights, layers & images: 3.5 GiB (2026-12-01) — \"pulled\" once, 'cached' everywhere…",
    "GRÖSSE, Größe, naïve café, Ångström, Søren, İstanbul, ı, ŁÓDŹ, Ελληνικά ΑΓΊΑΣ",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m",  # the same accents as separate characters
    "東京で始まる 容器很快 컨테이너가 빠르다 ひらがなカタカナ",
    "神经network混合text文本 and ﾊﾝｶｸ ＦＵＬＬＷＩＤＴＨ １２３",
    "سلام دنیا שלום עולם नमस्ते दुनिया สวัสดีชาวโลก Привет, МИР Ёлка",
    "🙂 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ✈️ warm🔥start",
    "ﬁne ﬂow ½ ² ℌ Ⅳ ™ ẞ ǆ",
    "zero\u200bwidth soft\u00adhyphen no\u00a0break tab\there wide\u3000space \ufeffmark",
    "control\u0007 and \u0085 next line, line\u2028separator, private \ue000",
    "two  spaces   and    more , space before comma ( and in brackets ) !",
    "don't can't I'm they've we'll it's o'clock rock'n'roll",
    "https://example.org/a/b?c=d&e=%20f#g user@example.org #tag @name C:\\path\\file.txt",
    "def f(x_1): return {'a': [x_1 ** 2, -0.5e-3]}  # snake_case camelCase SCREAMING_CASE",
    "1234567890 12,345.67 0x1F 007 ١٢٣ 3rd 50% $9.99 €1 ±2",
    "supercalifragilisticexpialidocious" * 4,
    "aaaaaaaaaaaaaaaaaaaa ........... !!!??? ----- _____ ",
    "x",
    "é",
    "▁piece ##piece Ġpiece </w> <0x41> [unused1]",  # markers that tokenizers insert
)
_FILLER = "warm Été 東京 layer, "
_ORIENTATION_TAG, _ROTATED = 0x0112, 6  # EXIF: the camera was held upright


def edge_case_texts(special: Iterable[str]) -> list[str]:
    """Single-line, stripped texts: accents, scripts without spaces, emoji and control characters.

    special: the tokenizer's special tokens. Each appears alone, within a word and between spaces.
    """
    texts = [*_TEXTS]
    for token in special:
        texts += [token, f"before {token} after", f"before{token}after", f"UPPER {token.upper()} {token.lower()}"]
    lines = [" ".join(text.split("\n")).strip() for text in texts]
    return [line for line in dict.fromkeys(lines) if line]


def overlong_text(tokens: int) -> str:
    """A text that has more than ``tokens`` tokens with any tokenizer. Its start and its end differ."""
    return f"The beginning counts here. {_FILLER * (tokens // 4 + 1)} And there the end counts."


def edge_case_images(sample: bytes) -> list[bytes]:
    """Image files: ``sample``, and variants of it that are wide, tall, tiny, grayscale, transparent, palette-based and rotated
    by their EXIF tag, as PNG, JPEG and WebP; and noise."""
    from PIL import Image  # text models have no Pillow

    image = Image.open(io.BytesIO(sample)).convert("RGB")
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = _ROTATED
    noise = np.random.default_rng(4).integers(0, 256, (23, 41, 3), np.uint8)
    return [
        sample,
        _encode(image.resize((301, 97)), "PNG"),
        _encode(image.resize((75, 222)), "JPEG", exif=exif.tobytes()),
        _encode(image.resize((20, 33)).convert("L"), "WEBP", lossless=True),
        _encode(image.convert("RGBA"), "PNG"),
        _encode(image.convert("P"), "PNG"),
        _encode(Image.fromarray(noise).resize((190, 130), Image.Resampling.BICUBIC), "PNG"),
    ]


def _encode(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def edge_case_audio(samples: np.ndarray[tuple[int], np.dtype[np.float32]], rate: int) -> list[bytes]:
    """Mono 16-bit WAV files: ``samples`` [n], in -1 to 1, and variants that are shorter, quiet, with an offset and with noise;
    and noise alone. ``rate`` is in Hz."""
    noise = np.random.default_rng(9).uniform(-0.4, 0.4, len(samples))
    variants = (
        samples,
        samples[: len(samples) // 3],
        samples * 0.05,
        samples * 0.5 + 0.3,
        noise,
        samples * 0.5 + noise,
    )
    return [_wav(np.clip(variant, -1, 1), rate) for variant in variants]


def _wav(samples: np.ndarray[tuple[int], np.dtype[np.floating]], rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(rate)
        audio.writeframes(np.round(samples * 32_767).astype("<i2").tobytes())
    return file.getvalue()
