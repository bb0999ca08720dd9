"""``prebake init`` from a transformers folder that sees or hears: the image answers as the framework's own pipeline does."""

from __future__ import annotations

import importlib
import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from transformers import pipeline

from entrypoints.contract import BadRequest
from tests.support.collection.sampled import sampled
from tests.support.commands.projects import Project
from tests.support.models import pretrained
from tests.support.models.generated import Baked, difference
from tests.support.models.heygem_recordings import tag, with_tag_chunk

Begun = Callable[[str, Callable[[Path], object]], Baked]
PROCESSORS: dict[str, dict[str, Any]] = {
    "vit": {},
    "clip": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 40},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
        "resample": 3,
    },
    "deit": {
        "image_processor_type": "DeiTImageProcessor",
        "size": {"height": 27, "width": 45},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
    },
}


def pictures(folder: Path) -> list[Path]:
    """Of several forms, modes and kinds of file; one lies on its side."""
    random = np.random.default_rng(4)
    noise = Image.fromarray(random.integers(0, 256, (61, 97, 3), np.uint8)).resize((191, 120), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    noise.save(folder / "wide.png")
    noise.rotate(90, expand=True).save(folder / "high.jpg", exif=exif)
    noise.convert("L").resize((20, 33)).save(folder / "grey.webp")
    noise.convert("RGBA").crop((0, 0, 32, 32)).save(folder / "alpha.png")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("kind", sampled(PROCESSORS, "vit"))
def test_pictures_are_classified_as_the_pipeline_does(
    begun: Begun, beginner: Project, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = f"see_{kind}"
    baked = begun(name, lambda folder: pretrained.write_image_classifier(folder, **PROCESSORS[kind]))
    classify = pipeline("image-classification", model=str(beginner.root / "published" / name), device="cpu")
    labels = set()
    for path in pictures(tmp_path_factory.mktemp("pictures")):
        answer = baked.answer({"image": path.read_bytes()})
        wanted = {each["label"]: each["score"] for each in classify(str(path), top_k=9)}
        assert difference(answer["scores"], wanted) < 1e-4, path.name
        labels.add(answer["label"])
    if kind == "clip":
        narrow = io.BytesIO()
        Image.new("RGB", (1, 40_000)).save(narrow, "PNG")
        with pytest.raises(BadRequest, match="too long and narrow"):
            baked.answer({"image": narrow.getvalue()})
    for data in (b"", b"GIF89a", (beginner.root / "images" / name / "sample.png").read_bytes()[:900]):
        with pytest.raises(BadRequest) as caught:
            baked.answer({"image": data})
        assert caught.value.field == "image"


def sounds() -> dict[str, np.ndarray[Any, Any]]:
    """At 16 kHz, in the steps of 16 bits."""
    random = np.random.default_rng(9)
    time = np.arange(3 * 16_000) / 16_000
    exact = {
        "noise": random.uniform(-0.5, 0.5, 20_000),
        "rising": 0.3 * np.sin(2 * np.pi * (100 + 300 * time) * time),
        "short": random.uniform(-0.1, 0.1, 1_600),
    }
    return {name: (np.round(samples * 32_767) / 32_768).astype(np.float32) for name, samples in exact.items()}


def wav(samples: np.ndarray[Any, Any], rate: int = 16_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes((samples * 32_768).astype("<i2").repeat(channels).tobytes())
    return file.getvalue()


def mp3(samples: np.ndarray[Any, Any], rate: int = 44_100) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize("normalized", sampled([True, False], True))
def test_speech_is_recognized_as_the_pipeline_does(begun: Begun, beginner: Project, normalized: bool) -> None:
    name = f"hear_{normalized}".lower()
    baked = begun(name, lambda folder: pretrained.write_recognizer(folder, normalized=normalized))
    recognize = pipeline("automatic-speech-recognition", model=str(beginner.root / "published" / name), device="cpu")
    texts = {}
    for sound, samples in sounds().items():
        texts[sound] = baked.answer({"audio": wav(samples)})["text"]
        assert texts[sound] == recognize({"raw": samples.copy(), "sampling_rate": 16_000})["text"]
    assert len(set(texts.values())) > 1
    assert any(len(text) > 5 for text in texts.values())
    for data in (b"", b"RIFF", wav(sounds()["noise"][:100]), wav(np.zeros(61 * 16_000))):
        with pytest.raises(BadRequest) as caught:
            baked.answer({"audio": data})
        assert caught.value.field == "audio"


def test_sound_of_another_rate_is_resampled(begun: Begun) -> None:
    begun("hear_rates", pretrained.write_recognizer)
    sound = importlib.import_module("images.hear_rates.decoding")
    read_sound = sound.read_sound
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    for channels in (2, 8):
        got = read_sound(wav(tone, 44_100, channels))
        assert abs(len(got) - 16_000) < 50
        assert np.abs(got[200:15_800] - wanted[200:15_800]).max() < 0.01
    bomb = tag(30 << 20)
    assert sound._without_tags(bomb + mp3(tone)) == sound._without_tags(mp3(tone))
    assert b"id3 " not in sound._without_tags(with_tag_chunk(wav(tone, 44_100), bomb))
    assert len(read_sound(with_tag_chunk(wav(tone, 44_100), bomb))) == len(read_sound(wav(tone, 44_100)))
    with pytest.raises(BadRequest, match="a compressed header"):
        read_sound(b"\0\0\0\x20moov\0\0\0\x18cmov\0\0\0\x0cdcomzlib")
    with pytest.raises(BadRequest, match="over 768000 samples a second"):
        read_sound(wav(tone, 2_000_000))
    old_tag = b"TAG" + "Größe".encode("latin-1").ljust(125, b"\0")
    squeezed = read_sound(mp3(tone) + old_tag)
    assert abs(len(squeezed) - 16_000) < 2_000  # mp3 fills its frames
    assert np.abs(squeezed).max() == pytest.approx(0.5, abs=0.05)
