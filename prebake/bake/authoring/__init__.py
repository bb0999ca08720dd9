"""The API of an image's ``export.py``: ``from prebake.bake.authoring import Bake``.

Names are loaded on first use, so that an export imports only the libraries it needs (Pillow for images, tokenizers for text).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prebake.bake.authoring.bake import Bake
    from prebake.bake.authoring.checkpoint_check import (
        CheckpointInspection,
        Document,
        PipelinePart,
        inspect_checkpoint,
        raise_problems,
    )
    from prebake.bake.authoring.edge_cases import edge_case_audio, edge_case_images, edge_case_texts
    from prebake.bake.authoring.image_files import WarmupFile
    from prebake.bake.authoring.pretrained_model import load_pretrained
    from prebake.bake.authoring.schedulers import record_schedule
    from prebake.bake.authoring.sentence_embedding import SentenceEmbedding, bake_prompts, load_embedder
    from prebake.bake.authoring.served_model_check import TorchSession, compare_served_model
    from prebake.bake.authoring.tokenizer import bake_tokenizer, find_token_limit
    from prebake.bake.authoring.tokenizer_parity import TokenLimit, compare_tokens, texts_to_compare
    from prebake.bake.errors import BakeError
    from prebake.errors import Problem

_MODULES = {
    "prebake.bake.authoring.bake": ("Bake",),
    "prebake.bake.authoring.checkpoint_check": (
        "CheckpointInspection",
        "Document",
        "PipelinePart",
        "inspect_checkpoint",
        "raise_problems",
    ),
    "prebake.bake.authoring.edge_cases": ("edge_case_audio", "edge_case_images", "edge_case_texts"),
    "prebake.bake.authoring.image_files": ("WarmupFile",),
    "prebake.bake.authoring.pretrained_model": ("load_pretrained",),
    "prebake.bake.authoring.schedulers": ("record_schedule",),
    "prebake.bake.authoring.sentence_embedding": ("SentenceEmbedding", "bake_prompts", "load_embedder"),
    "prebake.bake.authoring.served_model_check": ("TorchSession", "compare_served_model"),
    "prebake.bake.authoring.tokenizer": ("bake_tokenizer", "find_token_limit"),
    "prebake.bake.authoring.tokenizer_parity": ("TokenLimit", "compare_tokens", "texts_to_compare"),
    "prebake.bake.errors": ("BakeError",),
    "prebake.errors": ("Problem",),
}
_MODULE_BY_NAME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Bake",
    "BakeError",
    "CheckpointInspection",
    "Document",
    "PipelinePart",
    "Problem",
    "SentenceEmbedding",
    "TokenLimit",
    "TorchSession",
    "WarmupFile",
    "bake_prompts",
    "bake_tokenizer",
    "compare_served_model",
    "compare_tokens",
    "edge_case_audio",
    "edge_case_images",
    "edge_case_texts",
    "find_token_limit",
    "inspect_checkpoint",
    "load_embedder",
    "load_pretrained",
    "raise_problems",
    "record_schedule",
    "texts_to_compare",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_BY_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_BY_NAME[name]), name)
