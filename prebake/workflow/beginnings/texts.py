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
_SENTENCE, _MODULES, _POOLING = "sentence_bert_config.json", "modules.json", "1_Pooling/config.json"
# Their positions begin behind the padding's.
_OFFSET = {"roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer"}
_MOST_TOKENS, _UNSAID_TOKENS = 8192, 512


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
    kinds = [str(each.get("type", "")).rpartition(".")[2] for each in folder.document(_MODULES, or_else=[])]
    for kind in kinds:
        if kind not in ("Transformer", "Pooling", "Normalize"):
            folder.problems.append(
                Problem(_MODULES, f"has a module {kind}", "known are Transformer, Pooling, Normalize")
            )
    normalised = "Normalize" in kinds if kinds else folder.has(_SENTENCE)
    return _facts(folder, config, pooling=_pooling(folder), normalised=normalised)


def _pooling(folder: Folder) -> str:
    said = folder.document(_POOLING)
    asked = sorted(name for name, value in said.items() if name.startswith("pooling_mode_") and value is True)
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if not asked:
        return "mean"
    if len(asked) > 1 or asked[0] not in known:
        folder.problems.append(Problem(_POOLING, f"asks for {', '.join(asked)}", f"known is one of {', '.join(known)}"))
    return known.get(asked[0], "mean")


def _facts(folder: Folder, config: Mapping[str, Any], **values: Any) -> Facts:
    if folder.require(TOKENIZER, "load it by AutoTokenizer and save it by save_pretrained"):
        _check_vocabulary(folder, config)
    says = folder.document(_TOKENIZER_CONFIG)
    return Facts(
        files=folder.present(TOKENIZER, _TOKENIZER_CONFIG, *_SLOW),
        ship=(TOKENIZER,),
        values={
            "tokens": _most_tokens(folder, config),
            "pad": json.dumps(_padding(folder, says), ensure_ascii=False),
            "side": "left" if says.get("padding_side") == "left" else "right",
            **values,
        },
    )


def _check_vocabulary(folder: Folder, config: Mapping[str, Any]) -> None:
    document = folder.document(TOKENIZER)
    vocabulary = document.get("model", {}).get("vocab", {})
    ids = [*vocabulary.values()] if isinstance(vocabulary, dict) else [*range(len(vocabulary))]
    ids += [each["id"] for each in document.get("added_tokens", [])]
    rows = config.get("vocab_size")
    if isinstance(rows, int) and ids and max(ids) >= rows:
        what = f"has ids up to {max(ids)}, but by {CONFIG} the embedding has vocab_size {rows} rows"
        folder.problems.append(Problem(TOKENIZER, what, "the tokenizer is of another checkpoint"))


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
        positions -= (1 if pad is None else int(pad)) + 1
    said = [
        positions,
        folder.document(_SENTENCE).get("max_seq_length"),
        folder.document(_TOKENIZER_CONFIG).get("model_max_length"),
    ]
    known = [each for each in said if isinstance(each, int) and each > 0]
    return min([*known, _MOST_TOKENS] if known else [_UNSAID_TOKENS])
