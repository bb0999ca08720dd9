"""``prebake init`` from checkpoints of embeddings: the image answers as ``SentenceTransformer.encode`` does, in every setting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.framework import ask_framework
from tests.generated import Baked
from tests.projects import Project
from tests.texts import TEXTS, word_pieces, write_modules, write_network, write_tokenizer

Begun = Callable[[str, Callable[[Path], object]], Baked]
WIDTH = 32
POOL = {"word_embedding_dimension": WIDTH}
ALL_MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
PROMPTS = {"query": "query: the first ", "document": "passage: ", "empty": ""}


def by_first_token(folder: Path) -> None:
    """The newer key of the pooling, and a tokenizer whose settings are not those of its tokenizer.json."""
    settings = {
        "truncation_side": "left",
        "strip_accents": False,
        "do_lower_case": True,
        "tokenize_chinese_chars": False,
    }
    ids = write_tokenizer(folder, "bert", model_max_length=40, **settings)
    write_network(folder, "BertModel", ids, max_position_embeddings=64)
    write_modules(folder, ("Pooling", {**POOL, "pooling_mode": "cls"}))


def by_every_mode(folder: Path) -> None:
    """Capitals are kept though tokenizer.json drops them; six poolings one after another."""
    added = {
        "244": {
            "content": "<x>",
            "lstrip": True,
            "rstrip": False,
            "normalized": False,
            "single_word": False,
            "special": True,
        }
    }
    ids = write_tokenizer(folder, "bert", do_lower_case=False, model_max_length=40, added_tokens_decoder=added)
    write_network(folder, "BertForMaskedLM", ids, max_position_embeddings=64)
    write_modules(folder, ("Pooling", {**POOL, "pooling_mode": ALL_MODES}), ("Normalize", {}), max_seq_length=24)


def by_vocabulary_alone(folder: Path) -> None:
    """Old checkpoints have no tokenizer.json. Lower case is sentence-transformers' own setting."""
    _, words = word_pieces()
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": False, "tokenizer_class": "BertTokenizer"})
    )
    write_network(folder, "BertModel", len(words), max_position_embeddings=64)
    legacy = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}
    write_modules(folder, ("Pooling", {**POOL, **legacy}), max_seq_length=32, do_lower_case=True)


def by_prompts(folder: Path) -> None:
    """A prompt by default, whose tokens are not pooled."""
    ids = write_tokenizer(folder, "xlm", model_max_length=60)
    write_network(folder, "XLMRobertaModel", ids, max_position_embeddings=64, pad_token_id=1)
    settings = {"prompts": PROMPTS, "default_prompt_name": "query", "similarity_fn_name": "cosine"}
    write_modules(folder, ("Pooling", {**POOL, "pooling_mode": "mean", "include_prompt": False}), settings=settings)


def by_dense_layer(folder: Path) -> None:
    """A prefix space, positions that begin behind the padding's, and a projection."""
    ids = write_tokenizer(folder, "roberta", add_prefix_space=True, model_max_length=60)
    write_network(folder, "RobertaModel", ids, max_position_embeddings=64, pad_token_id=1)
    dense = {"in_features": 64, "out_features": 16}
    legacy = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}
    write_modules(folder, ("Pooling", {**POOL, **legacy}), ("Dense", dense), ("LayerNorm", {"dimension": 16}))


def by_last_token(folder: Path) -> None:
    """A decoder: padded and cut at the left, its last token pooled, part of the numbers kept."""
    ids = write_tokenizer(folder, "qwen", padding_side="left", truncation_side="left", model_max_length=48)
    heads = {
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "eos_token_id": 0,
    }
    write_network(folder, "Qwen3ForCausalLM", ids, **heads)
    settings = {"prompts": PROMPTS, "default_prompt_name": None, "truncate_dim": 12}
    write_modules(folder, ("Pooling", {**POOL, "pooling_mode": "lasttoken"}), ("Normalize", {}), settings=settings)


def by_layers(folder: Path) -> None:
    ids = write_tokenizer(folder, "roberta", model_max_length=48)
    tokens = {"pad_token_id": 1, "bos_token_id": 0, "cls_token_id": 0, "eos_token_id": 2, "sep_token_id": 2}
    write_network(
        folder,
        "ModernBertModel",
        ids,
        max_position_embeddings=64,
        local_attention=16,
        output_hidden_states=True,
        **tokens,
    )
    weighted = {"embedding_dimension": WIDTH, "num_hidden_layers": 2, "layer_start": 0}
    write_modules(
        folder, ("WeightedLayerPooling", weighted), ("Pooling", {"embedding_dimension": WIDTH, "pooling_mode": "max"})
    )


def by_plain_transformers(folder: Path) -> None:
    ids = write_tokenizer(folder, "roberta", model_max_length=60)
    write_network(folder, "MPNetModel", ids, max_position_embeddings=64, pad_token_id=1)


WAYS = (
    by_first_token, by_every_mode, by_vocabulary_alone, by_prompts, by_dense_layer, by_last_token, by_layers,
    by_plain_transformers,
)  # fmt: skip


@pytest.mark.parametrize("write", WAYS, ids=lambda write: write.__name__)
def test_texts_are_embedded_as_encode_does(begun: Begun, beginner: Project, write: Callable[[Path], None]) -> None:
    baked = begun(write.__name__, write)
    folder = beginner.root / "published" / write.__name__
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
