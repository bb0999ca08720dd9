"""A checkpoint of sentence-transformers as its library loads it, and that as a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prebake.bake.documents import canonical_json
from prebake.bake.errors import BakeError
from prebake.bake.export import Bake
from prebake.bake.pretrained import load_pretrained
from prebake.errors import Problem

PROMPTS = "tokens/prompts.json"
# Modules of sentence-transformers that a graph can hold: none of their answers depends on the batch beside a text.
_KNOWN = ("Transformer", "Pooling", "Dense", "Normalize", "LayerNorm", "Dropout", "WeightedLayerPooling")
# Tensors that embeddings do without: heads of the task that the network was trained with.
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
    """Texts before each text, by name. ``default`` applies unless a request names another. ``skipped`` tokens of each are
    left out of the pooling; None if all are pooled."""

    texts: Mapping[str, str]
    default: str | None
    skipped: Mapping[str, int] | None


class SentenceEmbedding(torch.nn.Module):
    """Tokens to embeddings, by the modules of sentence-transformers in their order.

    ``pooled``: the forward takes a further mask ``pooled_mask``, of the tokens that are pooled.
    """

    def __init__(self, model: Any, *, pooled: bool) -> None:
        super().__init__()
        self.steps = torch.nn.ModuleList(model)
        self._dimension, self._pooled = model.truncate_dim, pooled

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **masks: torch.Tensor) -> torch.Tensor:
        """input_ids and the masks [batch, tokens], int64; the embeddings are [batch, numbers], float32."""
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        for step in self.steps:
            if self._pooled and type(step).__name__ == "Pooling":
                features["attention_mask"] = masks["pooled_mask"]
            features = step(features)
        embeddings: torch.Tensor = features["sentence_embedding"]
        return embeddings if self._dimension is None else embeddings[:, : self._dimension]


def load_embedder(folder: Path) -> Any:
    """The ``SentenceTransformer`` of a folder, on the CPU, in eval mode and float32.

    Raises BakeError with every module and setting that is not baked, and with every tensor that the weights lack.
    """
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel

    load_pretrained(AutoModel, folder, _UNUSED)  # tells of tensors that are missing; SentenceTransformer does not
    try:
        model = SentenceTransformer(
            str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": torch.float32}
        ).eval()
    except Exception as error:  # the libraries raise what they please for a document or a file that is none
        raise BakeError(
            f"SentenceTransformer cannot load {folder.name}: {type(error).__name__}: {str(error).strip()[:1500]}",
            next_action="Give a whole folder of one checkpoint, as save_pretrained wrote it.",
        ) from error
    if problems := _problems(model):
        raise BakeError(
            "\n".join([f"{folder.name} cannot be baked:", *(f"  {each}" for each in problems)]),
            next_action="Save the checkpoint without these, or write the image by docs/adding-a-model.md.",
        )
    return model.requires_grad_(False)


def _problems(model: Any) -> Sequence[Problem]:
    kinds = [type(each).__name__ for each in model]
    problems = [
        Problem(each, "is a module that is not baked", f"known are {', '.join(_KNOWN)}")
        for each in kinds
        if each not in _KNOWN
    ]
    if kinds[:1] != ["Transformer"]:
        return problems
    first = model[0]
    if "message" in first.modality_config:
        hint = "give modules.json, in which the checkpoint says how texts are embedded"
        problems.append(Problem("chat_template", "SentenceTransformer puts each text into it", hint))
    for name in ("processing_kwargs", "query_length", "document_length", "query_expansion"):
        if value := getattr(first, name, None):
            problems.append(Problem("sentence_bert_config.json", f"{name} is {value}", "is not served"))
    pooling = next((each for each in model if type(each).__name__ == "Pooling"), None)
    if pooling is not None and not pooling.include_prompt and "weightedmean" in pooling.pooling_mode:
        problems.append(Problem("Pooling", "include_prompt is false for weightedmean", "is not served together"))
    return problems


def bake_prompts(bake: Bake, name: str, model: Any) -> Prompts:
    """Save the model's prompts for the image's folder ``name``."""
    texts = {each: text for each, text in model.prompts.items() if text}
    pooling = next((each for each in model if type(each).__name__ == "Pooling"), None)
    skips = pooling is not None and not pooling.include_prompt
    skipped = {each: int(model.preprocess(["x"], prompt=text)["prompt_length"]) for each, text in texts.items()}
    default = model.default_prompt_name if texts.get(model.default_prompt_name) else None
    prompts = Prompts(texts, default, skipped if skips and texts else None)
    document = {"prompts": dict(prompts.texts), "default": prompts.default, "skipped": prompts.skipped}
    bake.asset(f"{name}/{PROMPTS}", canonical_json(document))
    return prompts
