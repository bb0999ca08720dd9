"""Where a text ends: at the tokenizer's length, or where the network's positions do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from prebake.bake.authoring.edge_cases import edge_case_texts, overlong_text
from prebake.bake.authoring.tokenizer import find_token_limit
from prebake.bake.authoring.tokenizer_parity import TokenLimit

SIZES = {"vocab_size": 60, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
UNSAID = int(1e30)


class Tokenizer:
    def __init__(self, length: int) -> None:
        self.model_max_length = length


def network(kind: str, **config: Any) -> torch.nn.Module:
    made = getattr(transformers, kind)
    network: torch.nn.Module = made(made.config_class(**{**SIZES, **config}))
    return network


NETWORKS: dict[str, tuple[str, dict[str, Any], int | None]] = {
    "bert": ("BertModel", {"max_position_embeddings": 40}, 40),
    "roberta": ("RobertaModel", {"max_position_embeddings": 40, "pad_token_id": 1}, 38),
    "mpnet": ("MPNetModel", {"max_position_embeddings": 40, "pad_token_id": 1}, 38),
    "gpt2": ("GPT2Model", {"n_positions": 40, "n_embd": 8, "n_layer": 1, "n_head": 2}, 40),
    "opt": ("OPTModel", {"max_position_embeddings": 40, "ffn_dim": 8, "word_embed_proj_dim": 8, "pad_token_id": 1}, 40),
    "deberta": ("DebertaV2Model", {"max_position_embeddings": 40, "position_biased_input": False}, None),
    "qwen": ("Qwen3Model", {"max_position_embeddings": 40, "num_key_value_heads": 2, "head_dim": 4}, None),
}


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_learned_positions_end_a_text(kind: str) -> None:
    name, config, positions = NETWORKS[kind]
    made = network(name, **config).eval()
    limit = find_token_limit(Tokenizer(UNSAID), made, max_tokens=100)
    assert limit == (TokenLimit(100, cut=False) if positions is None else TokenLimit(positions, cut=True))
    assert find_token_limit(Tokenizer(30), made, max_tokens=100) == TokenLimit(30, cut=True)
    with torch.no_grad():
        made(input_ids=torch.full((1, limit.max_tokens), 7))  # the network takes as many
        if positions is not None:
            with pytest.raises((IndexError, RuntimeError)):
                made(input_ids=torch.full((1, positions + 1), 7))


def test_hard_texts_are_lines_that_a_request_can_hold() -> None:
    texts = edge_case_texts(["[MASK]", "<|end|>\n", " "])
    assert all(text and text == text.strip() and "\n" not in text for text in texts)
    assert {"[MASK]", "before [MASK] after", "before[MASK]after", "<|end|>"} <= set(texts)
    assert len(set(texts)) == len(texts)
    assert len(overlong_text(100).split()) > 100
