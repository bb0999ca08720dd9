"""A prompt as the text encoder's input: in the chat template, as tokens, without truncation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from entrypoints.contract import BadRequest
from images.zimage.facts import Facts


class PromptReader:
    """The published tokenizer, without the truncation and padding that its file may ask for."""

    def __init__(self, tokenizer: Path, facts: Facts) -> None:
        self._facts = facts
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def read(self, prompt: str) -> NDArray[np.int64]:
        """Token ids ``[1, tokens]``, the template's included. Raises BadRequest for too many."""
        ids = self._encode(self._facts.before + prompt + self._facts.after)
        if len(ids) > self._facts.tokens:
            own = len(self._encode(self._facts.before + self._facts.after))
            raise BadRequest(
                f"'prompt' has {len(ids) - own} tokens: send {self._facts.tokens - own} at most.", field="prompt"
            )
        return np.array([ids], dtype=np.int64)

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text).ids)
