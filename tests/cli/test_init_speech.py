"""``prebake init`` from a Whisper: the image writes the tokens that transformers' greedy ``generate`` writes."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoTokenizer, WhisperForConditionalGeneration

from entrypoints.contract import BadRequest, Cancelled
from tests import pretrained
from tests.cli.test_init_media import wav
from tests.generated import Baked
from tests.projects import Project

Begun = Callable[[str, Callable[[Path], object]], Baked]
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


def test_a_multilingual_one_writes_what_transformers_does(begun: Begun, beginner: Project) -> None:
    baked = begun("listen", pretrained.write_listener)
    published = Published(beginner.root / "published/listen")
    seen = {}
    for name, samples in sounds(2).items():
        for language in ("auto", *pretrained.LANGUAGES):
            for task in ("transcribe", "translate"):
                asked = {"task": task} if language == "auto" else {"language": language, "task": task}
                wanted = published.write(samples, **asked)
                assert written(baked, samples, language=language, task=task) == wanted, (name, language, task)
                answer = baked.answer({"audio": wav(samples), "language": language, "task": task})
                assert answer["text"] == published.text(wanted)
                seen[name, language, task] = tuple(wanted)
        heard = published.model.detect_language(published.features(samples)).item()
        assert baked.answer({"audio": wav(samples)})["language"] == published.tokenizer.decode(heard).strip("<|>")
    print({k: len(v) for k, v in seen.items()}, len(set(seen.values())))
    assert len(set(seen.values())) > len(seen) / 2
    assert {len(each) for each in seen.values()} > {20}


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
