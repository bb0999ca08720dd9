"""all-MiniLM-L6-v2 baked: one graph over the published ``minilm/model.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

from images.minilm import naive
from images.minilm.model import create, open_tokenizer, to_arrays
from prebake.bake.authoring import (
    Bake,
    TorchSession,
    compare_served_model,
    compare_tokens,
    find_token_limit,
    texts_to_compare,
)

NOTICES = ("NOTICE", "LICENSE-APACHE-2.0")
WARMUP = "A container starts warm.\nIts weights lie in the image."


class SentenceEmbedding(torch.nn.Module):
    """Tokens to a unit vector: the encoder, the mean over unmasked tokens, the normalization."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """input_ids and attention_mask [batch, tokens], int64; the embeddings are [batch, 384], float32."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None].to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


class Tokens:
    """The served model's tokenizer, which is compared with the framework's."""

    def __init__(self, folder: Path) -> None:
        self.encode = open_tokenizer(folder / "tokenizer.json", folder / "sentence_bert_config.json").encode_batch

    def batch(self, encodings: Sequence[Any]) -> Mapping[str, Any]:
        """The arrays of sentences that were encoded together, which pads them."""
        return to_arrays(encodings)


def export(bake: Bake) -> None:
    """The graph, the license notices, and the framework's answers: to hard sentences for comparison, to the warm-up request
    for each start."""
    encoder = AutoModel.from_pretrained(bake.checkpoint / "minilm", local_files_only=True).eval()
    module = SentenceEmbedding(encoder).eval()
    batch, tokens = torch.export.Dim("batch", max=1024), torch.export.Dim("tokens", max=512)
    bake.graph(
        "minilm",
        module,
        cases=[_case([7, 5, 4]), _case([19]), _case([256, 130])],
        outputs=["embeddings"],
        dynamic={name: {0: batch, 1: tokens} for name in ("input_ids", "attention_mask")},
    )
    for name in NOTICES:
        bake.asset(f"minilm/{name}", Path(__file__).with_name(name).read_bytes())
    framework = naive.load(bake.checkpoint)
    tokenizer = framework.model.tokenizer
    limit = find_token_limit(tokenizer, encoder, max_tokens=512)
    compare_tokens("minilm", tokenizer, limit, Tokens(bake.checkpoint / "minilm"))
    sentences = {"texts": "\n".join(texts_to_compare(tokenizer, limit))}
    sessions = {"minilm": TorchSession(module, ("embeddings",))}
    compare_served_model(bake, create, sessions, framework.generate, [sentences])
    body, media_type = framework.generate({"texts": WARMUP})
    bake.reference({"texts": WARMUP}, body, media_type)


def _case(lengths: list[int]) -> dict[str, torch.Tensor]:
    """Sentences with these numbers of tokens, padded to the longest; the tokens are arbitrary words of the vocabulary."""
    longest = max(lengths)
    ids = torch.arange(len(lengths) * longest).reshape(len(lengths), longest) * 37 % 20_000 + 2_000
    mask = (torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]).to(torch.int64)
    return {"input_ids": ids * mask, "attention_mask": mask}
