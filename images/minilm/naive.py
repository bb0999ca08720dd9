"""all-MiniLM-L6-v2 as most people deploy it: sentence-transformers in torch, from the published folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

from images.minilm.texts import read_sentences, write_answer


class NaiveMiniLm:
    """The published model and tokenizer in torch."""

    def __init__(self, folder: Path) -> None:
        # The package that the weights come from leaves out modules.json: these are its modules.
        tokens = json.loads((folder / "sentence_bert_config.json").read_bytes())["max_seq_length"]
        network = Transformer(str(folder), max_seq_length=tokens)
        pooling = Pooling(network.get_embedding_dimension(), "mean")
        self.model = SentenceTransformer(modules=[network, pooling, Normalize()], device="cpu")

    def generate(self, fields: Mapping[str, object]) -> tuple[bytes, str]:
        """The answer's body and media type. Raises BadRequest."""
        answer = write_answer(self.embed(read_sentences(fields)))
        return answer.body, answer.media_type

    def embed(self, sentences: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors [sentences, 384]."""
        embeddings: npt.NDArray[np.float32] = self.model.encode(list(sentences), show_progress_bar=False)
        return embeddings


def load(checkpoint: Path) -> NaiveMiniLm:
    """The model from a checkpoint folder, which holds ``minilm/``."""
    return NaiveMiniLm(checkpoint / "minilm")
