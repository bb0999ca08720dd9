"""all-MiniLM-L6-v2 the way most people deploy it: torch and transformers, from the published folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

from images.minilm.texts import read_sentences, write_answer


class NaiveMiniLm:
    """The published model and tokenizer in torch."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        self._tokens = json.loads((folder / "sentence_bert_config.json").read_bytes())["max_seq_length"]

    def generate(self, fields: Mapping[str, object]) -> tuple[bytes, str]:
        """The answer's body and media type, all sentences in one batch. Raises BadRequest."""
        answer = write_answer(self.embed(read_sentences(fields)).numpy())
        return answer.body, answer.media_type

    @torch.no_grad()
    def embed(self, sentences: Sequence[str]) -> torch.Tensor:
        """Unit vectors [sentences, 384]: the mean over each sentence's tokens, as the model's card shows it."""
        batch = self._tokenizer(
            list(sentences), padding=True, truncation=True, max_length=self._tokens, return_tensors="pt"
        )
        hidden = self._model(**batch).last_hidden_state
        weights = batch["attention_mask"].unsqueeze(-1).expand(hidden.size()).float()
        mean = torch.sum(hidden * weights, 1) / torch.clamp(weights.sum(1), min=1e-9)
        return torch.nn.functional.normalize(mean, p=2, dim=1)


def load(checkpoint: Path) -> NaiveMiniLm:
    """The model from a checkpoint folder, which holds ``minilm/``."""
    return NaiveMiniLm(checkpoint / "minilm")
