"""The two texts as the text encoder's input."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from entrypoints.contract import BadRequest

LIMIT = 77
"""Tokens, the two that mark the beginning and the end among them."""
PADDING = "<pad>"


class Tokens(NamedTuple):
    """Both ``[2, tokens]``, the negative text first."""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]


class TextReader:
    """Reads texts with the tokenizer of the published text encoder (``tokenizer.json``)."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        padding = self._tokenizer.token_to_id(PADDING)
        if padding is None:
            raise ValueError(f"{path} has no token {PADDING!r}: it is not the tokenizer of a RoBERTa text encoder")
        self._padding = padding

    def read(self, negative: str, prompt: str) -> Tokens:
        """The batch, padded to the longer text. The transformer sees the padding's states too, so the padding matters.

        Raises BadRequest for a text of more than ``LIMIT`` tokens. The published code cuts both to that length without a
        warning: the end of the prompt would be lost, and its end token too.
        """
        rows = [self._ids("negative_prompt", negative), self._ids("prompt", prompt)]
        ids = np.full((2, max(map(len, rows))), self._padding, np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return Tokens(ids, mask)

    def _ids(self, field: str, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        if len(ids) > LIMIT:
            raise BadRequest(f"{field} is {len(ids)} tokens long; the model accepts {LIMIT} at most", field=field)
        return ids
