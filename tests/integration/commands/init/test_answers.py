"""``prebake init`` from checkpoints that read text: the image answers as the framework does, in every setting.

The checkpoints are in ``cases/answers``: a file for each task, in which a case is a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.support.collection.sampled import sampled
from tests.support.commands.projects import Project
from tests.support.models.framework import ask_framework
from tests.support.models.generated import Baked, difference
from tests.support.models.texts import TEXTS, write_text_model
from tests.support.repository import ROOT

Begun = Callable[[str, Callable[[Path], object]], Baked]
CASES: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (ROOT / "tests/integration/commands/init/cases/answers").glob("*.yaml")
}


@pytest.mark.parametrize("name", sampled(CASES["embed"], "by_prompts"))
def test_texts_are_embedded_as_encode_does(begun: Begun, beginner: Project, name: str) -> None:
    baked = begun(name, lambda folder: write_text_model(folder, **CASES["embed"][name]))
    folder = beginner.root / "published" / name
    asked: list[dict[str, Any]] = [{}]
    wanted: list[dict[str, Any]] = [{}]
    if (folder / "config_sentence_transformers.json").exists():
        asked += [
            {"prompt_name": "query"},
            {"prompt_name": "document"},
            {"prompt_name": "no-prompt"},
            {"prompt_name": "query"},
        ]
        wanted += [{"prompt_name": "query"}, {"method": "encode_document"}, {"prompt": ""}, {"method": "encode_query"}]
    answers = ask_framework("embed", folder, [{"texts": TEXTS, **each} for each in wanted])
    for form, answer in zip(asked, answers, strict=True):
        got = np.array(baked.answer({"texts": "\n".join(TEXTS), **form})["results"])
        assert np.abs(got - np.array(answer)).max() < 1e-4 * max(1.0, np.abs(answer).max()), form
        alone = np.array(baked.answer({"texts": TEXTS[-1], **form})["results"])
        assert np.abs(alone - answer[-1:]).max() < 1e-4 * max(1.0, np.abs(answer).max()), form
    assert np.abs(np.array(answers[0][0]) - np.array(answers[0][1])).max() > 0.01, "a checkpoint that tells texts apart"


@pytest.mark.parametrize("name", sampled(CASES["classify"], "several_labels"))
def test_texts_are_classified_as_the_pipeline_does(begun: Begun, beginner: Project, name: str) -> None:
    baked = begun(name, lambda folder: write_text_model(folder, **CASES["classify"][name]))
    (wanted,) = ask_framework("classify", beginner.root / "published" / name, [{"texts": TEXTS}])
    results = baked.answer({"texts": "\n".join(TEXTS)})["results"]
    assert difference([each["scores"] for each in results], wanted) < 1e-4
    best: Callable[[Mapping[str, float]], str] = lambda scores: max(scores, key=scores.__getitem__)  # noqa: E731
    assert [each["label"] for each in results] == [best(each) for each in wanted]
    alone = baked.answer({"texts": TEXTS[-1]})["results"][0]["scores"]
    assert difference(alone, wanted[-1]) < 1e-4
    assert len({round(each[best(each)], 3) for each in wanted}) > 4, "a checkpoint that tells texts apart"


@pytest.mark.parametrize("name", sampled(CASES["tag"], "tagged_with_hyphens"))
def test_spans_are_found_as_the_pipeline_does(begun: Begun, beginner: Project, name: str) -> None:
    baked = begun(name, lambda folder: write_text_model(folder, **CASES["tag"][name]))
    (wanted,) = ask_framework("tag", beginner.root / "published" / name, [{"texts": TEXTS}])
    assert difference(baked.answer({"texts": "\n".join(TEXTS)})["results"], wanted) < 1e-4
    assert sum(map(len, wanted)) > 3
