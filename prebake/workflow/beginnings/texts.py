"""What a checkpoint that reads text says of its tokens and its labels.

The export stage takes the tokenizer from the framework. Here its documents are read for what rules it out already, and for
how much memory the longest text takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.beginnings.facts import Facts
from prebake.workflow.beginnings.folder import CONFIG, Folder
from prebake.workflow.beginnings.labels import activation, check_labels

TOKENIZER, _TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
# What AutoTokenizer and AutoProcessor read besides: the export has to see the folder as the framework would.
_BESIDES = (
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "bpe.codes", "spm.model",
    "sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "chat_template.jinja", "chat_template.json",
    "processor_config.json", "preprocessor_config.json",
)  # fmt: skip
# transformers makes a fast tokenizer of each of these without a further package.
_VOCABULARIES = (("vocab.txt",), ("vocab.json", "merges.txt"))
_SENTENCE = "sentence_bert_config.json"
# Their positions begin behind the padding's.
_OFFSET = {"roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer"}
_MOST_TOKENS, _UNSAID_TOKENS = 8192, 512
# Texts of a run times the square of the longest's tokens: what attention takes memory for, a few floats for each head.
_BUDGET, _FLOATS = 16 * 512**2, 3 * 4


def read_classifier(folder: Folder, config: Mapping[str, Any]) -> Facts:
    """Text classification."""
    function = activation(config, check_labels(folder, config))
    return read_texts(folder, config, activation=function, unit=function != "none")


def read_tagger(folder: Folder, config: Mapping[str, Any]) -> Facts:
    """Token classification."""
    check_labels(folder, config)
    return read_texts(folder, config, unit=True)


def read_texts(folder: Folder, config: Mapping[str, Any], files: tuple[str, ...] = (), **values: Any) -> Facts:
    """What every task of texts has. ``files``: what the export reads besides."""
    if folder.has(TOKENIZER):
        check_vocabulary(folder, config)
    elif not any(folder.present(*names) == names for names in _VOCABULARIES):
        folder.require(TOKENIZER, "load it by AutoTokenizer and save it by save_pretrained")
    folder.document(_TOKENIZER_CONFIG)
    tokens = _most_tokens(folder, config)
    return Facts(
        files=(*folder.present(TOKENIZER, _TOKENIZER_CONFIG, *_BESIDES), *files),
        ship=folder.present(TOKENIZER),
        values={"tokens": tokens, "budget": _BUDGET, **values},
        memory=_FLOATS * max(_BUDGET, tokens**2) * int(config.get("num_attention_heads") or 1),
    )


def check_vocabulary(folder: Folder, config: Mapping[str, Any]) -> None:
    """A problem where ``tokenizer.json`` has ids that the embedding lacks."""
    ids = _tokens(folder).values()
    rows = config.get("vocab_size")
    if isinstance(rows, int) and ids and max(ids) >= rows:
        what = f"has ids up to {max(ids)}, but by {CONFIG} the embedding has vocab_size {rows} rows"
        folder.problems.append(Problem(TOKENIZER, what, "the tokenizer is of another checkpoint"))


def _tokens(folder: Folder) -> dict[str, int]:
    """Every token's id. A vocabulary is a map, or a list of pairs with scores."""
    document = folder.document(TOKENIZER)
    vocabulary = document.get("model", {}).get("vocab", {})
    if isinstance(vocabulary, list):
        vocabulary = {str(each[0]): index for index, each in enumerate(vocabulary) if isinstance(each, list) and each}
    added = [each for each in document.get("added_tokens") or () if isinstance(each, dict)]
    named = {
        **(vocabulary if isinstance(vocabulary, dict) else {}),
        **{each.get("content"): each.get("id") for each in added},
    }
    return {str(token): index for token, index in named.items() if isinstance(index, int)}


def _most_tokens(folder: Folder, config: Mapping[str, Any]) -> int:
    """Of one text, the special ones included: the least that a document says. The export asks the framework."""
    positions = config.get("max_position_embeddings", config.get("n_positions"))
    if isinstance(positions, int) and config.get("model_type") in _OFFSET:
        pad = config.get("pad_token_id")
        positions -= (1 if pad is None else pad) + 1
    said = [
        positions,
        folder.document(_SENTENCE).get("max_seq_length"),
        folder.document(_TOKENIZER_CONFIG).get("model_max_length"),
    ]
    known = [each for each in said if isinstance(each, int) and each > 0]
    return min([*known, _MOST_TOKENS] if known else [_UNSAID_TOKENS])
