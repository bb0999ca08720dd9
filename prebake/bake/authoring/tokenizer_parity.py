"""Compares the tokens that the container computes with the framework's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from prebake.bake.authoring.edge_cases import edge_case_texts, overlong_text
from prebake.bake.errors import ParityFailed
from prebake.errors import Problem

MAX_SPECIAL_TOKENS = 40
"""Special tokens that are tested; a tokenizer may reserve hundreds."""


class Tokens(Protocol):
    """The container's tokenizer: the class of the image's ``tokens.py``."""

    def encode(self, texts: Sequence[str]) -> Sequence[Any]:
        """An ``Encoding`` of the tokenizers library for each text, truncated as the settings say."""

    def batch(self, encodings: Sequence[Any]) -> Mapping[str, np.ndarray[Any, Any]]:
        """``input_ids`` and ``attention_mask`` [texts, tokens], int64, padded to the longest."""


OpenTokens = Callable[[Callable[[str], Path]], Tokens]
"""Opens the container's tokenizer. Its argument maps a path of the image to a file, as ``Components.path`` does."""


@dataclass(frozen=True)
class TokenLimit:
    """At most ``max_tokens`` tokens of a text are computed. ``cut``: longer texts are truncated, as the framework does it;
    otherwise they are rejected."""

    max_tokens: int
    cut: bool


def texts_to_compare(tokenizer: Any, limit: TokenLimit, longest: int = 1024) -> list[str]:
    """Edge-case texts for this tokenizer. If texts are truncated, an overlong one is included, unless the limit is above
    ``longest`` tokens, since the model runs on these texts."""
    # Named special tokens come first: the model was trained with them.
    special = dict.fromkeys([*tokenizer.all_special_tokens, *map(str, tokenizer.added_tokens_encoder)])
    texts = edge_case_texts(list(special)[:MAX_SPECIAL_TOKENS])
    return [*texts, overlong_text(limit.max_tokens)] if limit.cut and limit.max_tokens <= longest else texts


def compare_tokens(name: str, tokenizer: Any, limit: TokenLimit, tokens: Tokens) -> None:
    """Encode edge-case texts by the framework's ``tokenizer`` and by the container's ``tokens``: one by one, and as one batch.

    Raises ParityFailed that lists the texts whose tokens differ.
    """
    texts = texts_to_compare(tokenizer, limit, longest=limit.max_tokens)
    options = {"truncation": True, "max_length": limit.max_tokens} if limit.cut else {}
    problems = []
    for text in texts:
        expected, actual = tokenizer(text, **options)["input_ids"], list(tokens.encode([text])[0].ids)
        if expected != actual:
            problems.append(Problem(_shorten(text), _describe_difference(expected, actual)))
    expected_batch = tokenizer(texts, padding=True, return_tensors="np", **options)
    actual_batch = tokens.batch(tokens.encode(texts))
    for array in ("input_ids", "attention_mask"):
        if not np.array_equal(expected_batch[array], actual_batch[array]):
            problems.append(Problem(array, "of a padded batch differs from the framework's"))
    if problems:
        raise ParityFailed(
            f"The container's tokens of {name} differ from the framework's:",
            problems,
            next_action="correct the image's tokens.py, or report this with the checkpoint's tokenizer_config.json",
        )


def _describe_difference(expected: Sequence[int], actual: Sequence[int]) -> str:
    pairs = enumerate(zip(expected, actual, strict=False))
    start = next((at for at, (one, other) in pairs if one != other), min(len(expected), len(actual)))
    framework, container = (json.dumps(ids[start : start + 8]) for ids in (expected, actual))
    return f"from token {start} the framework gives {framework}, the container {container}"


def _shorten(text: str) -> str:
    return json.dumps(text[:40] + ("…" if len(text) > 40 else ""), ensure_ascii=False)
