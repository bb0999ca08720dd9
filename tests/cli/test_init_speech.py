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
from prebake.workflow.beginnings.beginning import InitRefused
from tests import pretrained
from tests.cli.test_init_media import wav
from tests.generated import Baked, begin
from tests.projects import Project

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


def change(path: Path, **values: Any) -> None:
    """Set these keys of a JSON document, and drop those that are None."""
    document = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))


def refused(project: Project, folder: Path) -> str:
    ended = project.run("init", "mine", "--from", str(folder)).expect(InitRefused.exit_code)
    assert not (project.root / "images/mine").exists()
    return ended.stderr


def test_what_does_not_fit_is_told_at_once(beginner: Project, tmp_path: Path) -> None:
    folder = tmp_path / "misfit"
    pretrained.write_listener(folder)
    (folder / "tokenizer.json").unlink()
    change(folder / "preprocessor_config.json", chunk_length=30, dither=0.1, feature_size=128)
    wrong = {"repetition_penalty": 1.2, "eos_token_id": [1, 2], "max_length": None, "task_to_id": None}
    change(folder / "generation_config.json", **wrong, begin_suppress_tokens=[99_999])
    change(folder / "config.json", decoder_layers="two")
    said = refused(beginner, folder)
    for words in (
        "tokenizer.json: is missing", "dither is 0.1", "feature_size is 128, but by config.json there are 80",
        "windows have 3000 frames, but by config.json there are 100", "repetition_penalty is 1.2", "eos_token_id is [1, 2]",
        "neither max_length nor max_new_tokens", "lang_to_id or task_to_id is missing", "as 99999", 'decoder_layers is "two"',
    ):  # fmt: skip
        assert words in said


def test_other_recognisers_are_told_by_name(beginner: Project, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    pretrained.write_listener(folder)
    (folder / "generation_config.json").unlink()
    assert "generation_config.json: is missing" in refused(beginner, folder)
    (folder / "preprocessor_config.json").unlink()
    assert "preprocessor_config.json: is missing" in refused(beginner, folder)
    (folder / "preprocessor_config.json").write_text('{"feature_extractor_type": "MoonshineFeatureExtractor"}')
    assert "the feature extractor is MoonshineFeatureExtractor (known is WhisperFeatureExtractor)" in refused(
        beginner, folder
    )
    change(folder / "config.json", architectures=["Speech2TextForConditionalGeneration"])
    said = refused(beginner, folder)
    assert "Speech2TextForConditionalGeneration" in said
    assert "WhisperForConditionalGeneration" in said


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ({"lang_to_id": {"<|en|>": 261}}, "is_multilingual is not true, but there are languages"),
        ({"forced_decoder_ids": [[1, None], [2, 270]]}, "forced_decoder_ids are no tokens"),
        ({"forced_decoder_ids": [[2, 270]]}, "forced_decoder_ids are no tokens"),
    ],
)
def test_rules_that_contradict_each_other_are_named(
    beginner: Project, tmp_path: Path, says: dict[str, Any], words: str
) -> None:
    pretrained.write_listener(tmp_path / "odd", multilingual=False, **says)
    assert words in refused(beginner, tmp_path / "odd")
