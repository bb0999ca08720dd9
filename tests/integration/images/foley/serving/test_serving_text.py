"""Texts to tokens, and texts that are too long."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from entrypoints.contract import BadRequest
from images.foley.text import TextReader
from tests.support.foley.words import write_tokenizer

BEGIN, PADDING, END = 0, 1, 2


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> TextReader:
    return TextReader(write_tokenizer(tmp_path_factory.mktemp("clap") / "tokenizer.json"))


@pytest.mark.parametrize(("negative", "prompt"), [("noisy, harsh", "a"), ("", "a dog barks at the rain on a roof")])
def test_the_shorter_text_is_padded(reader: TextReader, negative: str, prompt: str) -> None:
    ids, mask = reader.read(negative, prompt)
    assert ids.dtype == mask.dtype == "int64"
    assert ids.shape == mask.shape == (2, max(mask.sum(axis=1)))
    assert (ids[mask == 0] == PADDING).all()
    for row, used in zip(ids, mask.sum(axis=1), strict=True):
        assert (row[0], row[used - 1]) == (BEGIN, END)
    assert mask.sum(axis=1).argmax() == (0 if negative else 1)


def test_the_negative_text_comes_first(reader: TextReader) -> None:
    ids, _ = reader.read("ab", "cd")
    other, _ = reader.read("cd", "ab")
    assert ids.tolist() == other[::-1].tolist()
    assert ids[0].tolist() != ids[1].tolist()


def test_texts_up_to_the_limit(reader: TextReader) -> None:
    ids, mask = reader.read("", "z" * 75)
    assert ids.shape == (2, 77)
    assert mask.sum(axis=1).tolist() == [2, 77]


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_texts_over_the_limit_are_refused_not_cut(reader: TextReader, field: str) -> None:
    texts = {"prompt": "a dog", "negative_prompt": "harsh"} | {field: "z" * 76}
    with pytest.raises(BadRequest, match=f"^{field} is 78 tokens long; the model accepts 77 at most$") as refused:
        reader.read(texts["negative_prompt"], texts["prompt"])
    assert refused.value.field == field


def test_another_kind_of_tokenizer_is_refused_at_start(tmp_path: Path) -> None:
    Tokenizer(models.WordLevel({"[PAD]": 0}, unk_token="[PAD]")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="has no token '<pad>'"):
        TextReader(tmp_path / "tokenizer.json")
