"""``prebake init`` from a transformers folder that reads text: the image answers as the framework's own pipeline does."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import pipeline

from entrypoints.contract import BadRequest
from tests.support.collection.sampled import sampled
from tests.support.commands.projects import Project
from tests.support.models import pretrained
from tests.support.models.generated import Baked, difference

Begun = Callable[[str, Callable[[Path], object]], Baked]
TEXTS = [
    "The container is warm.",
    "A big image and nothing in it",
    "Größe, naïve café, 東京 and 🙂",
    "first",
    "request come " * 60,
    *(f"weights lie number {n}" for n in range(40)),
]


def scores_by_pipeline(folder: Path) -> list[dict[str, float]]:
    classify = pipeline("text-classification", model=str(folder), device="cpu")
    found = classify(TEXTS, top_k=None, truncation=True)
    return [{each["label"]: each["score"] for each in scores} for scores in found]


CONFIGS: dict[str, dict[str, Any]] = {
    "softmax": {},
    "sigmoid": {"problem_type": "multi_label_classification"},
    "regression": {"problem_type": "regression", "id2label": {0: "stars"}},
}


@pytest.mark.parametrize("kind", sampled(CONFIGS, "softmax"))
def test_texts_are_classified_as_the_pipeline_does(begun: Begun, beginner: Project, kind: str) -> None:
    name = f"classify_{kind}"
    baked = begun(name, lambda folder: pretrained.write_classifier(folder, **CONFIGS[kind]))
    results = baked.answer({"texts": "\n".join(TEXTS)})["results"]
    wanted = scores_by_pipeline(beginner.root / "published" / name)
    assert difference([each["scores"] for each in results], wanted) < 1e-4
    assert [each["label"] for each in results] == [max(each, key=each.__getitem__) for each in wanted]
    if kind != "regression":
        assert len({each["label"] for each in results}) > 1, "a checkpoint that tells texts apart"
    for text in ("", " \n\t\n", "\ud800", "\n".join("a" * 257)):
        with pytest.raises(BadRequest) as caught:
            baked.answer({"texts": text})
        assert caught.value.field == "texts"
    plan = importlib.import_module(f"images.{name}.model").plan_runs
    lengths = [8] * 300 + [512] * 40 + [4000, 8]
    runs = list(plan(lengths))
    assert [index for run in runs for index in range(run.start, run.stop)] == list(range(342))
    assert (
        max((run.stop - run.start) * max(lengths[run]) ** 2 for run in runs if run.stop - run.start > 1) <= 16 * 512**2
    )
    assert len(runs) < 8
    alone = baked.answer({"texts": TEXTS[0]})["results"]
    assert difference(alone, results[:1]) < 1e-5


def test_long_texts_end_where_the_positions_do(begun: Begun, beginner: Project) -> None:
    baked = begun("classify_roberta", pretrained.write_roberta)
    (result,) = baked.answer({"texts": "request come " * 60})["results"]
    classify = pipeline("text-classification", model=str(beginner.root / "published/classify_roberta"), device="cpu")
    scores = classify("request come " * 60, top_k=None, truncation=True, max_length=63)
    assert difference(result["scores"], {each["label"]: each["score"] for each in scores}) < 1e-4


@pytest.mark.parametrize("kind", sampled(["plain", "sentence", "first"], "sentence"))
def test_texts_are_embedded_as_the_encoder_does(begun: Begun, beginner: Project, kind: str) -> None:
    name = f"embed_{kind}"
    folder = beginner.root / "published" / name

    def write(folder: Path) -> None:
        pretrained.write_encoder(folder)
        if kind != "plain":
            cls = kind == "first"
            if cls:
                pretrained.keep_case(folder)
            pretrained.write_sentence_modules(folder, cls=cls, lower=cls, pooling="pooled" if cls else "1_Pooling")

    baked = begun(name, write)
    got = torch.tensor(baked.answer({"texts": "\n".join(TEXTS)})["results"])
    encode = pipeline("feature-extraction", model=str(folder), device="cpu")
    texts = [text.lower() for text in TEXTS] if kind == "first" else TEXTS
    hidden = [encode(text, truncation=True, return_tensors=True)[0] for text in texts]
    wanted = torch.stack([each[0] if kind == "first" else each.mean(0) for each in hidden])
    if kind != "plain":
        wanted = torch.nn.functional.normalize(wanted, dim=1)
    assert (got - wanted).abs().max() < 1e-4
    assert (got[0] - got[1]).abs().max() > 0.01
    settings = json.loads((baked.folder / name / "tokens/settings.json").read_text())
    # Lower case is a setting of sentence-transformers; else the framework's tokenizer is the published one, byte for byte.
    assert settings["file"] == f"{name}/{'tokens/' if kind == 'first' else ''}tokenizer.json"
    assert (baked.folder / name / "tokens/tokenizer.json").exists() == (kind == "first")
    assert (baked.folder / name / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()


def test_entities_are_found_as_the_pipeline_does(begun: Begun, beginner: Project) -> None:
    baked = begun("tag", pretrained.write_tagger)
    results = baked.answer({"texts": "\n".join(TEXTS)})["results"]
    tag = pipeline("token-classification", model=str(beginner.root / "published/tag"), aggregation_strategy="simple")
    wanted = [
        [
            {
                "word": text[e["start"] : e["end"]],
                "label": e["entity_group"],
                "score": float(e["score"]),
                "start": e["start"],
                "end": e["end"],
            }
            for e in tag(text)
        ]
        for text in TEXTS
    ]
    assert difference(results, wanted) < 1e-4
    assert {each["label"] for spans in results for each in spans} == {"PER", "LOC"}
    assert any(" " in each["word"] for spans in results for each in spans), "tokens joined"
