"""Text models: their tokenizer, their labels and the memory of the longest text.

The export stage takes the tokenizer from transformers. Here its documents are only checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.init.checkpoint_folder import CONFIG, CheckpointFolder, TaskContents
from prebake.workflow.init.tasks.labels import check_labels, choose_activation

TOKENIZER, _TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
# More files that AutoTokenizer and AutoProcessor read; the export needs all of them.
_MORE_FILES = (
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "bpe.codes", "spm.model",
    "sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "chat_template.jinja", "chat_template.json",
    "processor_config.json", "preprocessor_config.json",
)  # fmt: skip
# transformers makes a fast tokenizer from each of these without another package.
_VOCABULARIES = (("vocab.txt",), ("vocab.json", "merges.txt"))
_SENTENCE = "sentence_bert_config.json"
# Model types whose positions start behind the padding token's.
_OFFSET = {"roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer"}
_MAX_TOKENS, _DEFAULT_TOKENS = 8192, 512
# Attention's memory: the texts of a batch times the squared token count of the longest one, a few floats per head.
_BUDGET, _FLOATS = 16 * 512**2, 3 * 4


def read_text_classifier(folder: CheckpointFolder, config: Mapping[str, Any]) -> TaskContents:
    """The contents of an image for text classification."""
    function = choose_activation(config, check_labels(folder, config))
    return read_text_model(folder, config, activation=function, unit=function != "none")


def read_token_classifier(folder: CheckpointFolder, config: Mapping[str, Any]) -> TaskContents:
    """The contents of an image for token classification."""
    check_labels(folder, config)
    return read_text_model(folder, config, unit=True)


def read_text_model(
    folder: CheckpointFolder, config: Mapping[str, Any], files: tuple[str, ...] = (), **values: Any
) -> TaskContents:
    """The contents that every text task has. ``files``: more files that the export reads."""
    if folder.has(TOKENIZER):
        check_vocabulary(folder, config)
    elif not any(folder.present(*names) == names for names in _VOCABULARIES):
        folder.require(TOKENIZER, "load it by AutoTokenizer and save it by save_pretrained")
    folder.document(_TOKENIZER_CONFIG)
    tokens = _max_tokens(folder, config)
    return TaskContents(
        files=(*folder.present(TOKENIZER, _TOKENIZER_CONFIG, *_MORE_FILES), *files),
        ship=folder.present(TOKENIZER),
        values={"tokens": tokens, "budget": _BUDGET, **values},
        memory=_FLOATS * max(_BUDGET, tokens**2) * int(config.get("num_attention_heads") or 1),
    )


def check_vocabulary(folder: CheckpointFolder, config: Mapping[str, Any]) -> None:
    """Token ids of ``tokenizer.json`` beyond the embedding are a problem."""
    ids = _tokens(folder).values()
    rows = config.get("vocab_size")
    if isinstance(rows, int) and ids and max(ids) >= rows:
        what = f"has ids up to {max(ids)}, but in {CONFIG} the embedding has vocab_size {rows} rows"
        folder.problems.append(Problem(TOKENIZER, what, "the tokenizer belongs to another checkpoint"))


def _tokens(folder: CheckpointFolder) -> dict[str, int]:
    """Token ids by token. A vocabulary is an object, or a list of pairs with scores."""
    document = folder.document(TOKENIZER)
    vocabulary = document.get("model", {}).get("vocab", {})
    if isinstance(vocabulary, list):
        vocabulary = {
            str(entry[0]): index for index, entry in enumerate(vocabulary) if isinstance(entry, list) and entry
        }
    added = [token for token in document.get("added_tokens") or () if isinstance(token, dict)]
    named = {
        **(vocabulary if isinstance(vocabulary, dict) else {}),
        **{token.get("content"): token.get("id") for token in added},
    }
    return {str(token): index for token, index in named.items() if isinstance(index, int)}


def _max_tokens(folder: CheckpointFolder, config: Mapping[str, Any]) -> int:
    """The token limit of one text with its special tokens: the smallest in any document. The export asks the framework."""
    positions = config.get("max_position_embeddings", config.get("n_positions"))
    if isinstance(positions, int) and config.get("model_type") in _OFFSET:
        pad = config.get("pad_token_id")
        positions -= (1 if pad is None else pad) + 1
    limits = [
        positions,
        folder.document(_SENTENCE).get("max_seq_length"),
        folder.document(_TOKENIZER_CONFIG).get("model_max_length"),
    ]
    known = [limit for limit in limits if isinstance(limit, int) and limit > 0]
    return min([*known, _MAX_TOKENS] if known else [_DEFAULT_TOKENS])
