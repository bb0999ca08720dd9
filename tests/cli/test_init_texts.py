"""``prebake init`` from classifiers of texts and of tokens: it answers as transformers' pipeline does, in every setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.framework import ask_framework
from tests.generated import Baked, difference
from tests.projects import Project
from tests.texts import TEXTS, write_network, write_tokenizer

Begun = Callable[[str, Callable[[Path], object]], Baked]
LABELS = {"id2label": {0: "calm", 1: "glad", 2: "sad"}}
TAGS = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}}
ENDS = {"id2label": {0: "O", 1: "S-PER", 2: "E-PER", 3: "U-LOC", 4: "given-name", 5: "B-O"}}
MARKED = {"content": "<x>", "lstrip": True, "rstrip": True, "normalized": False, "single_word": False, "special": False}


def cut_at_the_left(folder: Path) -> None:
    settings = {
        "truncation_side": "left",
        "do_lower_case": False,
        "strip_accents": True,
        "added_tokens_decoder": {"244": MARKED},
    }
    ids = write_tokenizer(folder, "bert", model_max_length=40, **settings)
    write_network(folder, "BertForSequenceClassification", ids, max_position_embeddings=64, **LABELS)


def several_labels(folder: Path) -> None:
    ids = write_tokenizer(folder, "roberta", add_prefix_space=True, model_max_length=60, split_special_tokens=True)
    kind = {"problem_type": "multi_label_classification", "max_position_embeddings": 64, "pad_token_id": 1}
    write_network(folder, "RobertaForSequenceClassification", ids, **kind, **LABELS)


def relative_positions(folder: Path) -> None:
    ids = write_tokenizer(folder, "xlm", model_max_length=50)
    relative = {"relative_attention": True, "max_relative_positions": 16, "pos_att_type": ["c2p", "p2c"]}
    config = {"max_position_embeddings": 64, "position_biased_input": False, "pad_token_id": 1, "type_vocab_size": 0}
    write_network(folder, "DebertaV2ForSequenceClassification", ids, **relative, **config, **LABELS)


def one_number(folder: Path) -> None:
    ids = write_tokenizer(folder, "bert", model_max_length=48, tokenize_chinese_chars=False)
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    write_network(
        folder, "DistilBertForSequenceClassification", ids, max_position_embeddings=64, id2label={0: "fit"}, **sizes
    )


def by_a_decoder(folder: Path) -> None:
    """Its answer is that of the last token that is no padding."""
    ids = write_tokenizer(folder, "qwen", model_max_length=48, truncation_side="left")
    heads = {"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0}
    write_network(folder, "Qwen3ForSequenceClassification", ids, **heads, **LABELS)


def tagged_with_capitals(folder: Path) -> None:
    ids = write_tokenizer(folder, "bert", model_max_length=40, do_lower_case=False, truncation_side="left")
    write_network(folder, "BertForTokenClassification", ids, max_position_embeddings=64, **TAGS)


def tagged_by_pieces(folder: Path) -> None:
    ids = write_tokenizer(folder, "xlm", model_max_length=60)
    write_network(folder, "XLMRobertaForTokenClassification", ids, max_position_embeddings=64, pad_token_id=1, **TAGS)


def tagged_with_hyphens(folder: Path) -> None:
    """Labels of the BILOU and IOBES schemes, and one with a hyphen of its own."""
    ids = write_tokenizer(folder, "bert", model_max_length=40)
    write_network(folder, "BertForTokenClassification", ids, max_position_embeddings=64, **ENDS)


@pytest.mark.parametrize(
    "write",
    [cut_at_the_left, several_labels, relative_positions, one_number, by_a_decoder],
    ids=lambda write: write.__name__,
)
def test_texts_are_classified_as_the_pipeline_does(
    begun: Begun, beginner: Project, write: Callable[[Path], None]
) -> None:
    baked = begun(write.__name__, write)
    (wanted,) = ask_framework("classify", beginner.root / "published" / write.__name__, [{"texts": TEXTS}])
    results = baked.answer({"texts": "\n".join(TEXTS)})["results"]
    assert difference([each["scores"] for each in results], wanted) < 1e-4
    best: Callable[[Any], str] = lambda scores: max(scores, key=scores.__getitem__)  # noqa: E731
    assert [each["label"] for each in results] == [best(each) for each in wanted]
    alone = baked.answer({"texts": TEXTS[-1]})["results"][0]["scores"]
    assert difference(alone, wanted[-1]) < 1e-4
    assert len({round(each[best(each)], 3) for each in wanted}) > 4, "a checkpoint that tells texts apart"


@pytest.mark.parametrize(
    "write", [tagged_with_capitals, tagged_by_pieces, tagged_with_hyphens], ids=lambda write: write.__name__
)
def test_spans_are_found_as_the_pipeline_does(begun: Begun, beginner: Project, write: Callable[[Path], None]) -> None:
    baked = begun(write.__name__, write)
    (wanted,) = ask_framework("tag", beginner.root / "published" / write.__name__, [{"texts": TEXTS}])
    assert difference(baked.answer({"texts": "\n".join(TEXTS)})["results"], wanted) < 1e-4
    assert sum(map(len, wanted)) > 3
