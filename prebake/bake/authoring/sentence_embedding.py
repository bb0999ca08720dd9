"""A sentence-transformers checkpoint as a torch module that can be exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prebake.bake.authoring.bake import Bake
from prebake.bake.authoring.pretrained_model import load_pretrained
from prebake.bake.errors import BakeError
from prebake.documents.canonical import canonical_json
from prebake.errors import Problem

PROMPTS = "tokens/prompts.json"
# Modules of sentence-transformers that can be exported: a text's embedding does not depend on the rest of its batch.
_KNOWN = ("Transformer", "Pooling", "Dense", "Normalize", "LayerNorm", "Dropout", "WeightedLayerPooling")
# Tensors that embeddings do not need: heads of the pretraining task.
_UNUSED = (
    "pooler.",
    "position_ids",
    "lm_head",
    "cls.",
    "predictions.",
    "generator_",
    "vocab_",
    "mask_predictions",
    "classifier.",
)


@dataclass(frozen=True)
class Prompts:
    """Prompts by name. A prompt is prepended to each text. ``default`` is used if a request names none. ``skipped``: number of
    the prompt's tokens that are excluded from pooling; None if all tokens are pooled."""

    texts: Mapping[str, str]
    default: str | None
    skipped: Mapping[str, int] | None


class SentenceEmbedding(torch.nn.Module):
    """Applies the modules of a SentenceTransformer in order.

    ``pooled``: ``forward`` takes another mask, ``pooled_mask``, that selects the tokens to pool.
    """

    def __init__(self, model: Any, *, pooled: bool) -> None:
        super().__init__()
        self.steps = torch.nn.ModuleList(model)
        self._dimension, self._pooled = model.truncate_dim, pooled

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **masks: torch.Tensor) -> torch.Tensor:
        """``input_ids`` and the masks are [batch, tokens], int64; the embeddings are [batch, dimension], float32."""
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        for step in self.steps:
            if self._pooled and type(step).__name__ == "Pooling":
                features["attention_mask"] = masks["pooled_mask"]
            features = step(features)
        embeddings: torch.Tensor = features["sentence_embedding"]
        return embeddings if self._dimension is None else embeddings[:, : self._dimension]


def load_embedder(folder: Path) -> Any:
    """The ``SentenceTransformer`` of a folder, on the CPU, in eval mode and float32.

    Raises BakeError that lists unsupported modules and settings, or tensors that are missing from the weights.
    """
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel

    load_pretrained(AutoModel, folder, _UNUSED)  # reports missing tensors; SentenceTransformer does not
    try:
        model = SentenceTransformer(
            str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": torch.float32}
        ).eval()
    except Exception as error:  # the libraries raise any exception for an invalid file
        raise BakeError(
            f"SentenceTransformer cannot load {folder.name}: {type(error).__name__}: {str(error).strip()[:1500]}",
            next_action="provide a complete checkpoint folder, as save_pretrained writes it",
        ) from error
    if problems := _problems(model):
        raise BakeError(
            "\n".join([f"{folder.name} cannot be baked:", *(f"  {problem}" for problem in problems)]),
            next_action="save the checkpoint without these, or write export.py and model.py yourself (docs/adding-a-model.md)",
        )
    return model.requires_grad_(False)


def _problems(model: Any) -> Sequence[Problem]:
    kinds = [type(module).__name__ for module in model]
    problems = [
        Problem(kind, "is an unsupported module", f"supported are {', '.join(_KNOWN)}")
        for kind in kinds
        if kind not in _KNOWN
    ]
    if kinds[:1] != ["Transformer"]:
        return problems
    first = model[0]
    if "message" in first.modality_config:
        hint = "add the checkpoint's modules.json, which defines how texts are embedded"
        problems.append(Problem("chat_template", "SentenceTransformer applies it to each text", hint))
    for name in ("processing_kwargs", "query_length", "document_length", "query_expansion"):
        if value := getattr(first, name, None):
            problems.append(Problem("sentence_bert_config.json", f"{name} is {value}", "this setting is not supported"))
    pooling = next((module for module in model if type(module).__name__ == "Pooling"), None)
    if pooling is not None and not pooling.include_prompt and "weightedmean" in pooling.pooling_mode:
        problems.append(
            Problem("Pooling", "include_prompt is false with weightedmean", "this combination is not supported")
        )
    return problems


def bake_prompts(bake: Bake, name: str, model: Any) -> Prompts:
    """Save the model's prompts in the image's folder ``name``."""
    texts = {prompt: text for prompt, text in model.prompts.items() if text}
    pooling = next((module for module in model if type(module).__name__ == "Pooling"), None)
    skips = pooling is not None and not pooling.include_prompt
    skipped = {prompt: int(model.preprocess(["x"], prompt=text)["prompt_length"]) for prompt, text in texts.items()}
    default = model.default_prompt_name if texts.get(model.default_prompt_name) else None
    prompts = Prompts(texts, default, skipped if skips and texts else None)
    document = {"prompts": dict(prompts.texts), "default": prompts.default, "skipped": prompts.skipped}
    bake.asset(f"{name}/{PROMPTS}", canonical_json(document))
    return prompts
