"""all-MiniLM-L6-v2 as served: sentences to unit vectors of 384 numbers, by ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from entrypoints.contract import Answer, Cancellation, Cancelled, Components, Field
from images.minilm.texts import FIELDS, read_sentences, write_answer

BATCH = 32  # sentences of one run; between runs a request can be cancelled


class MiniLm:
    """Tokens, mask and one graph: the mean over tokens and the normalization are part of it."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._tokenizer = open_tokenizer(
            components.path("minilm/tokenizer.json"), components.path("minilm/sentence_bert_config.json")
        )

    @property
    def fields(self) -> Sequence[Field]:
        return FIELDS

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        """The embeddings of the form's sentences. Raises BadRequest, and Cancelled between two batches."""
        sentences = read_sentences(form)
        embeddings = []
        for start in range(0, len(sentences), BATCH):
            if cancelled():
                raise Cancelled
            embeddings.append(self._embed(sentences[start : start + BATCH]))
        return write_answer(np.concatenate(embeddings))

    def _embed(self, sentences: list[str]) -> npt.NDArray[np.float32]:
        """Embeddings [sentences, 384] of a batch, padded to its longest sentence."""
        inputs = to_arrays(self._tokenizer.encode_batch(sentences))
        return self._components.session("minilm").run(inputs)["embeddings"]


def create(components: Components) -> MiniLm:
    """The server's entry."""
    return MiniLm(components)


def open_tokenizer(path: Path, config: Path) -> Tokenizer:
    """The published tokenizer. Its truncation and padding are those of the training, so the configuration replaces them."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(json.loads(config.read_bytes())["max_seq_length"])
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id("[PAD]"), pad_token="[PAD]")  # noqa: S106
    return tokenizer


def to_arrays(encodings: Sequence[Encoding]) -> dict[str, npt.NDArray[np.int64]]:
    """The graph's inputs [sentences, tokens], for sentences that are padded to one length."""
    return {
        "input_ids": np.array([each.ids for each in encodings], dtype=np.int64),
        "attention_mask": np.array([each.attention_mask for each in encodings], dtype=np.int64),
    }
