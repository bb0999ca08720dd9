"""``prebake init`` from a Whisper: the image writes the tokens that transformers' greedy ``generate`` writes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoTokenizer, WhisperForConditionalGeneration

from entrypoints.contract import BadRequest, Cancelled
from tests.integration.commands.init.test_init_media import wav
from tests.support.collection.sampled import slow
from tests.support.commands.projects import Project
from tests.support.models import pretrained
from tests.support.models.generated import Baked, begin

Begun = Callable[[str, Callable[[Path], object]], Baked]
ASKED = (
    ("auto", "transcribe"), ("auto", "translate"), ("en", "transcribe"), ("de", "transcribe"), ("de", "translate"),
    ("fr", "translate"),
)  # fmt: skip
Array = np.ndarray[Any, Any]


def sounds(seconds: float) -> dict[str, Array]:
    """Of several lengths up to a window of ``seconds``, at 16 kHz, in the steps of 16 bits."""
    random, count = np.random.default_rng(9), int(16_000 * seconds)
    time = np.arange(count) / 16_000
    exact = {
        "short": random.uniform(-0.1, 0.1, 1_600),
        "noise": random.uniform(-0.5, 0.5, count // 3 * 2 + 77),
        "rising": 0.3 * np.sin(2 * np.pi * (100 + 300 * time) * time) + random.uniform(-0.01, 0.01, count),
        "silence": np.zeros(8_000),
    }
    return {name: (np.round(samples * 32_767) / 32_768).astype(np.float32) for name, samples in exact.items()}


class Published:
    """The checkpoint as transformers has it."""

    def __init__(self, folder: Path) -> None:
        self.extractor = AutoFeatureExtractor.from_pretrained(folder)
        self.model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def features(self, samples: Array) -> torch.Tensor:
        features: torch.Tensor = self.extractor(samples, sampling_rate=16_000, return_tensors="pt").input_features
        return features

    @torch.no_grad()
    def write(self, samples: Array, **asked: Any) -> list[int]:
        """Without the end, which ``generate`` drops."""
        tokens: list[int] = self.model.generate(self.features(samples), do_sample=False, num_beams=1, **asked)[
            0
        ].tolist()
        return tokens

    def text(self, tokens: list[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True)).strip()


def served(baked: Baked) -> Any:
    return importlib.import_module(f"images.{baked.image}.model").create(baked)


def written(baked: Baked, samples: Array, **asked: Any) -> list[int]:
    model = served(baked)
    defaults = {field.name: field.default for field in model.fields if field.default is not None}
    tokens, _ = model.write(samples, {**defaults, **asked}, lambda: False)
    return list(tokens)


@pytest.fixture(scope="module")
def listening(beginner: Project, tmp_path_factory: pytest.TempPathFactory) -> Baked:
    """A multilingual one."""
    return begin(beginner, "listen", pretrained.write_listener, tmp_path_factory.mktemp("listen"))


def test_a_multilingual_one_writes_what_transformers_does(listening: Baked, beginner: Project) -> None:
    baked = listening
    published = Published(beginner.root / "published/listen")
    seen = {}
    for name, samples in sounds(2).items():
        for language, task in ASKED:
            asked = {"task": task} if language == "auto" else {"language": language, "task": task}
            wanted = published.write(samples, **asked)
            assert written(baked, samples, language=language, task=task) == wanted, (name, language, task)
            seen[name, language, task] = tuple(wanted)
        heard = published.model.detect_language(published.features(samples)).item()
        answer = baked.answer({"audio": wav(samples)})
        assert answer["language"] == published.tokenizer.decode(heard).strip("<|>")
        assert answer["text"] == published.text(list(seen[name, "auto", "transcribe"]))
    assert len(set(seen.values())) > len(seen) / 2
    assert len({len(each) for each in seen.values()}) > 2, "some texts end by themselves"


@slow
def test_one_without_languages_writes_what_transformers_does(begun: Begun, beginner: Project) -> None:
    baked = begun(
        "listen_plain", lambda folder: pretrained.write_listener(folder, multilingual=False, mels=128, seconds=30)
    )
    published = Published(beginner.root / "published/listen_plain")
    texts = set()
    for name, samples in sounds(30).items():
        wanted = published.write(samples)
        assert written(baked, samples) == wanted, name
        assert written(baked, samples, max_tokens=3) == wanted[:3]
        answer = baked.answer({"audio": wav(samples)})
        assert answer == {"text": published.text(wanted)}
        texts.add(answer["text"])
    assert len(texts) > 1
    for data in (b"", b"RIFF", wav(np.zeros(31 * 16_000))):
        with pytest.raises(BadRequest) as caught:
            baked.answer({"audio": data})
        assert caught.value.field == "audio"


@slow
def test_the_checkpoints_own_language_and_converted_weights(begun: Begun, beginner: Project) -> None:
    own: dict[str, Any] = {
        "language": "german",
        "task": "translate",
        "max_length": None,
        "max_new_tokens": 5,
        "begin_suppress_tokens": None,
    }
    baked = begun("listen_half", lambda folder: pretrained.write_listener(folder, dtype=torch.float16, **own))
    assert (
        "encoder: {folder: listen_half, derived: true}" in (beginner.root / "images/listen_half/image.yaml").read_text()
    )
    published = Published(beginner.root / "published/listen_half")
    published.model.float()
    assert {field.name: field.default for field in served(baked).fields} == {
        "audio": None, "language": "de", "task": "translate", "max_tokens": 5,
    }  # fmt: skip
    for name, samples in sounds(2).items():
        assert written(baked, samples) == published.write(samples), name
        assert baked.answer({"audio": wav(samples)})["language"] == "de"


def test_between_two_tokens_it_tells_how_far_it_is_and_can_be_cancelled(listening: Baked) -> None:
    told: list[tuple[int, int]] = []

    class Impatient:
        def __call__(self) -> bool:
            return len(told) == 3

        def report(self, step: int, steps: int, message: str = "") -> None:
            told.append((step, steps))

    model = served(listening)
    longest = max(sounds(2).values(), key=lambda samples: len(written(listening, samples)))
    form = {field.name: field.default for field in model.fields} | {"audio": wav(longest)}
    with pytest.raises(Cancelled):
        model.generate(form, Impatient())
    assert told == [(0, 20), (1, 20), (2, 20)]
    with pytest.raises(Cancelled):
        model.generate(form, lambda: True)


@pytest.mark.parametrize("mels", [80, 128])
def test_spectra_are_the_feature_extractors(beginner: Project, mels: int) -> None:
    """transformers has it twice, in numpy and, in float32, in torch: these two differ by up to 6e-5."""
    name = f"spectra_{mels}"
    pretrained.write_listener(beginner.root / "published" / name, mels=mels, seconds=30)
    beginner.run("init", name, "--from", f"published/{name}").expect(0)
    spectrum = importlib.import_module(f"images.{name}.spectrum")
    extractor = AutoFeatureExtractor.from_pretrained(beginner.root / "published" / name)
    np.save(beginner.root / f"{name}.npy", extractor.mel_filters.astype(np.float32))
    made = spectrum.Spectrum(beginner.root / f"{name}.npy")
    for sound, samples in sounds(30).items():
        got = made(samples)
        assert got.shape == (1, mels, 3000)
        padded = np.pad(samples.astype(np.float64), (0, 480_000 - len(samples)))[None]
        assert np.abs(got - extractor._np_extract_fbank_features(padded, "cpu")).max() < 1e-5, sound
        assert (
            np.abs(got - extractor(samples, sampling_rate=16_000, return_tensors="np").input_features).max() < 1e-4
        ), sound
