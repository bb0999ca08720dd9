"""What a checkpoint that reads text says of its tokens, its pooling and its labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.beginnings.facts import Facts
from prebake.workflow.beginnings.folder import CONFIG, Folder
from prebake.workflow.beginnings.labels import activation, check_labels

TOKENIZER, _TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
_SLOW = (
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt",
    "sentencepiece.bpe.model", "spiece.model", "tokenizer.model",
)  # fmt: skip
_SENTENCE, _MODULES, _POOLING = "sentence_bert_config.json", "modules.json", "1_Pooling"
# Their positions begin behind the padding's.
_OFFSET = {"roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer"}
_MOST_TOKENS, _UNSAID_TOKENS = 8192, 512
# Texts of a run times the square of the longest's tokens: what attention takes memory for, a few floats for each head.
_BUDGET, _FLOATS = 16 * 512**2, 3 * 4


def read_classifier(folder: Folder, config: Mapping[str, Any]) -> Facts:
    """Text classification."""
    return _facts(folder, config, activation=activation(config, check_labels(folder, config)))


def read_tagger(folder: Folder, config: Mapping[str, Any]) -> Facts:
    """Token classification."""
    check_labels(folder, config)
    return _facts(folder, config)


def read_encoder(folder: Folder, config: Mapping[str, Any]) -> Facts:
    """Feature extraction: pooled and normalised as the documents of sentence-transformers say, else the plain mean."""
    if config.get("is_encoder_decoder"):
        folder.problems.append(Problem(CONFIG, "is_encoder_decoder: the model is none that encodes alone"))
    modules = _modules(folder)
    normalised = "Normalize" in modules if modules else folder.has(_SENTENCE)
    lower = folder.document(_SENTENCE).get("do_lower_case") is True
    where = f"{modules.get('Pooling', _POOLING)}/{CONFIG}"
    return _facts(folder, config, pooling=_pooling(folder, where), normalised=normalised, lower=lower)


def _modules(folder: Folder) -> Mapping[str, str]:
    """The steps of sentence-transformers, each with its folder; none where the checkpoint is plain transformers'."""
    modules: dict[str, str] = {}
    for each in folder.document(_MODULES, or_else=[]):
        said = each if isinstance(each, dict) else {}
        modules[str(said.get("type", "")).rpartition(".")[2]] = str(said.get("path", ""))
    if modules and list(modules) not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        what = f"has the modules {', '.join(modules)}"
        folder.problems.append(
            Problem(_MODULES, what, "known are Transformer, Pooling and perhaps Normalize, in this order")
        )
    if modules.get("Transformer"):
        what = f"the network lies in {modules['Transformer']}"
        folder.problems.append(Problem(_MODULES, what, "known are checkpoints that have it in the folder itself"))
    return modules


def _pooling(folder: Folder, where: str) -> str:
    said = folder.document(where)
    asked = sorted(name for name, value in said.items() if name.startswith("pooling_mode_") and value is True)
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if not asked:
        return "mean"
    if len(asked) > 1 or asked[0] not in known:
        folder.problems.append(Problem(where, f"asks for {', '.join(asked)}", f"known is one of {', '.join(known)}"))
    return known.get(asked[0], "mean")


def _facts(folder: Folder, config: Mapping[str, Any], **values: Any) -> Facts:
    if folder.require(TOKENIZER, "load it by AutoTokenizer and save it by save_pretrained"):
        check_vocabulary(folder, config)
    says = folder.document(_TOKENIZER_CONFIG)
    pad, tokens = _padding(folder, says), _most_tokens(folder, config)
    if pad and folder.has(TOKENIZER) and pad not in _tokens(folder):
        folder.problems.append(Problem(TOKENIZER, f"has no token {pad!r}", f"{_TOKENIZER_CONFIG} names it to pad with"))
    return Facts(
        files=folder.present(TOKENIZER, _TOKENIZER_CONFIG, *_SLOW),
        ship=(TOKENIZER,),
        values={
            "tokens": tokens,
            "pad": json.dumps(pad, ensure_ascii=False),
            "side": "left" if says.get("padding_side") == "left" else "right",
            "budget": _BUDGET,
            "lower": False,
            **values,
        },
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


def _padding(folder: Folder, says: Mapping[str, Any]) -> str:
    """The token that fills a batch."""
    for document in (says, folder.document("special_tokens_map.json")):
        token = document.get("pad_token")
        content = token.get("content") if isinstance(token, dict) else token
        if isinstance(content, str):
            return content
    folder.problems.append(Problem(_TOKENIZER_CONFIG, "names no pad_token", "texts of a batch are padded by it"))
    return ""


def _most_tokens(folder: Folder, config: Mapping[str, Any]) -> int:
    """Of one text, the special ones included; what follows is cut off."""
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
