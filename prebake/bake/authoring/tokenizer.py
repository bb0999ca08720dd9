"""Saves the framework's tokenizer for the image.

``AutoTokenizer`` does not use ``tokenizer.json`` unchanged: the tokenizer's class rebuilds normalizer, added tokens and
post-processor from ``tokenizer_config.json`` and its own defaults. So the export saves the state of the framework's tokenizer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tokenizers import Tokenizer

from prebake.bake.authoring.bake import Bake
from prebake.bake.authoring.edge_cases import edge_case_texts
from prebake.bake.authoring.tokenizer_parity import MAX_SPECIAL_TOKENS, OpenTokens, TokenLimit, compare_tokens
from prebake.bake.errors import BakeError
from prebake.documents.canonical import canonical_json
from prebake.errors import Problem

SETTINGS, _PUBLISHED, _DERIVED = "tokens/settings.json", "tokenizer.json", "tokens/tokenizer.json"
_MODEL_INPUTS = {"input_ids", "attention_mask", "token_type_ids", "special_tokens_mask"}
_POSITION_EMBEDDINGS = ("position_embeddings", "embed_positions", "position_embedding", "wpe")


def find_token_limit(tokenizer: Any, network: torch.nn.Module, max_tokens: int) -> TokenLimit:
    """Where the framework truncates a text: at the tokenizer's ``model_max_length`` or at the number of learned positions.

    If there is no such limit, or it is above ``max_tokens``, longer texts are rejected rather than truncated.
    """
    limit = min([tokenizer.model_max_length, *_learned_positions(network)])
    return TokenLimit(int(limit), cut=True) if limit <= max_tokens else TokenLimit(max_tokens, cut=False)


def _learned_positions(network: torch.nn.Module) -> Iterator[int]:
    """The number of positions of each position embedding. RoBERTa's rows up to the padding index are not positions, nor are
    the first ``offset`` rows of OPT."""
    for module in network.modules():
        for name in _POSITION_EMBEDDINGS:
            embedding = getattr(module, name, None)
            if isinstance(embedding, torch.nn.Embedding):
                padding = getattr(module, "padding_idx", None)
                unused = padding + 1 if isinstance(padding, int) else int(getattr(embedding, "offset", 0))
                yield embedding.num_embeddings - unused


def bake_tokenizer(
    bake: Bake, name: str, tokenizer: Any, network: torch.nn.Module, max_tokens: int, open_tokens: OpenTokens
) -> TokenLimit:
    """Save the framework's ``tokenizer`` in the image's folder ``name``, and compare the container's tokens with its own.

    The published ``tokenizer.json`` is used if it is equal; otherwise a derived one is written next to the settings.

    max_tokens: the limit of a text if the framework has none.
    Raises BakeError that lists why the tokenizer cannot be baked, ParityFailed that lists texts whose tokens differ.
    """
    _check(name, tokenizer, network)
    limit = find_token_limit(tokenizer, network, max_tokens)
    files = _make_files(bake, name, tokenizer, limit)
    with TemporaryDirectory() as folder:
        for path, content in files.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        find = lambda path: Path(folder, path) if path in files else bake.checkpoint / path  # noqa: E731
        compare_tokens(name, tokenizer, limit, open_tokens(find))
    for path, content in files.items():
        bake.asset(path, content)
    return limit


def _check(name: str, tokenizer: Any, network: torch.nn.Module) -> None:
    kind = type(tokenizer).__name__
    if not getattr(tokenizer, "is_fast", False):
        hint = "convert it to a fast tokenizer and save that with save_pretrained: the container has only the tokenizers library"
        raise _refused(name, [Problem(kind, "is a Python tokenizer without a fast version", hint)])
    if problems := [*_find_problems(kind, tokenizer, network)]:
        raise _refused(name, problems)


def _find_problems(kind: str, tokenizer: Any, network: torch.nn.Module) -> Iterator[Problem]:
    if tokenizer.pad_token_id is None:
        yield Problem(kind, "has no pad_token", "set one in tokenizer_config.json: batches are padded with it")
    if unknown := sorted(set(tokenizer.model_input_names) - _MODEL_INPUTS):
        yield Problem(
            kind,
            f"produces unsupported model inputs: {', '.join(unknown)}",
            f"supported are {', '.join(sorted(_MODEL_INPUTS))}",
        )
    rows = network.get_input_embeddings().num_embeddings  # type: ignore[operator]
    if (largest := max(tokenizer.get_vocab().values())) >= rows:
        hint = "use the tokenizer of this checkpoint, or remove tokens that were added without resizing the embedding"
        yield Problem(kind, f"has token ids up to {largest}, but the embedding has {rows} rows", hint)
    elif tokenizer.pad_token_id is not None and (fault := _find_batch_fault(tokenizer, network)):
        hint = "set pad_token_id: a decoder finds a text's last token by it"
        yield Problem("config.json", f"the network rejects a batch of texts: {fault}", hint)
    if _has_token_types(tokenizer):
        yield Problem(kind, "gives a single text token_type_ids other than 0", "these are not supported")


def _has_token_types(tokenizer: Any) -> bool:
    if "token_type_ids" not in tokenizer.model_input_names:
        return False
    texts = edge_case_texts(list(tokenizer.all_special_tokens)[:MAX_SPECIAL_TOKENS])
    return any(any(types) for types in tokenizer(texts, return_token_type_ids=True)["token_type_ids"])


def _find_batch_fault(tokenizer: Any, network: torch.nn.Module) -> str | None:
    """The network's error for a batch of two texts. Decoders that classify raise one if they have no padding token."""
    if getattr(network.config, "pad_token_id", None) is not None:
        return None
    rows = torch.full((2, 2), tokenizer.pad_token_id)
    try:
        with torch.no_grad():
            network(input_ids=rows, attention_mask=torch.ones_like(rows))
    except ValueError as error:
        return str(error)
    return None


def _refused(name: str, problems: Sequence[Problem]) -> BakeError:
    return BakeError(
        "\n".join([f"The tokenizer of {name} cannot be baked:", *(f"  {problem}" for problem in problems)]),
        next_action="correct the checkpoint, or write the image's tokenizer yourself (docs/adding-a-model.md)",
    )


def _make_files(bake: Bake, name: str, tokenizer: Any, limit: TokenLimit) -> dict[str, bytes]:
    """The settings, and the tokenizer if it differs from the published one, by their paths in the image."""
    backend = _normalize(tokenizer.backend_tokenizer.to_str())
    published = bake.checkpoint / name / _PUBLISHED
    shipped = f"{name}/{_PUBLISHED}" in {file.path for file in bake.settings.ship}
    same = shipped and _normalize(published.read_text(encoding="utf-8")) == backend
    settings = {
        "file": f"{name}/{_PUBLISHED if same else _DERIVED}",
        "most": limit.max_tokens,
        "truncation": {"max_length": limit.max_tokens, "direction": tokenizer.truncation_side} if limit.cut else None,
        "padding": {
            "direction": tokenizer.padding_side,
            "pad_id": tokenizer.pad_token_id,
            "pad_token": str(tokenizer.pad_token),
            "pad_type_id": tokenizer.pad_token_type_id,
        },
        "encode_special_tokens": bool(tokenizer.backend_tokenizer.encode_special_tokens),
    }
    if shipped and not same:
        size = published.stat().st_size / 1e6
        note = "the framework's tokenizer differs from the published tokenizer.json, so a derived one is used"
        print(f"{name}: {note}; remove {_PUBLISHED} from `ship` to save {size:.1f} MB", file=sys.stderr)
    files = {f"{name}/{SETTINGS}": canonical_json(settings)}
    return files if same else {f"{name}/{_DERIVED}": backend.encode(), **files}


def _normalize(document: str) -> str:
    """A tokenizer as the library serializes it, without truncation and padding, which ``settings.json`` has."""
    tokenizer = Tokenizer.from_str(document)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return str(tokenizer.to_str())
