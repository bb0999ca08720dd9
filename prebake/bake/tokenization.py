"""The tokenizer that the framework really uses, as the image ships it, and the proof that the container reads texts alike.

``AutoTokenizer`` does not take ``tokenizer.json`` as it is: a tokenizer's class builds normaliser, added tokens and
post-processor again from ``tokenizer_config.json`` and its own defaults. So the export stage asks the framework for its
tokenizer and saves what that holds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import torch
from tokenizers import Tokenizer

from prebake.bake.documents import canonical_json
from prebake.bake.errors import BakeError, ParityFailed
from prebake.bake.export import Bake
from prebake.bake.hard_texts import hard_texts, overlong_text
from prebake.errors import Problem

SETTINGS, _PUBLISHED, _DERIVED = "tokens/settings.json", "tokenizer.json", "tokens/tokenizer.json"
_READ = {"input_ids", "attention_mask", "token_type_ids", "special_tokens_mask"}
_TABLES = ("position_embeddings", "embed_positions", "position_embedding", "wpe")
_SPECIAL = 40  # of these tokens every one is tried; a tokenizer may have hundreds that are reserved


class Tokens(Protocol):
    """What the image's ``tokens.py`` gives: texts to tokens, in the container."""

    def encode(self, texts: Sequence[str]) -> Sequence[Any]:
        """An encoding of the library ``tokenizers`` for each text, cut as the settings say."""

    def batch(self, encodings: Sequence[Any]) -> Mapping[str, np.ndarray[Any, Any]]:
        """``input_ids`` and ``attention_mask`` [texts, tokens], int64, padded to the longest."""


OpenTokens = Callable[[Callable[[str], Path]], Tokens]
"""Opens the image's tokens; called with what gives the path of a file of the image, as ``Components.path`` does."""


@dataclass(frozen=True)
class TokenLimit:
    """``most`` tokens of a text are computed. ``cut``: the framework cuts a longer text off there; else it is refused."""

    most: int
    cut: bool


def find_limit(tokenizer: Any, network: torch.nn.Module, most: int) -> TokenLimit:
    """Where the framework ends a text: at the tokenizer's ``model_max_length``, or where the learned positions end. If
    neither is said, or both lie beyond ``most``, longer texts are refused and never cut."""
    limit = min([tokenizer.model_max_length, *_learned_positions(network)])
    return TokenLimit(int(limit), cut=True) if limit <= most else TokenLimit(most, cut=False)


def _learned_positions(network: torch.nn.Module) -> Iterator[int]:
    """How many tokens each table of positions is for. Of the RoBERTa family the first rows up to the padding's are no
    positions, of OPT the first ``offset``."""
    for module in network.modules():
        for name in _TABLES:
            table = getattr(module, name, None)
            if isinstance(table, torch.nn.Embedding):
                padding = getattr(module, "padding_idx", None)
                unused = padding + 1 if isinstance(padding, int) else int(getattr(table, "offset", 0))
                yield table.num_embeddings - unused


def bake_tokenizer(
    bake: Bake, name: str, tokenizer: Any, network: torch.nn.Module, most: int, opened: OpenTokens
) -> TokenLimit:
    """Save the framework's ``tokenizer`` for the image's folder ``name`` and compare the container's tokens with its own.

    The published ``tokenizer.json`` is used if it holds the same; else a derived one is written beside the settings.
    most: tokens of a text that are computed where the framework knows no end.
    Raises BakeError with every reason why the tokenizer cannot be baked, and ParityFailed with every text on which the
    container's tokens differ.
    """
    _check(name, tokenizer, network)
    limit = find_limit(tokenizer, network, most)
    files = _files(bake, name, tokenizer, limit)
    with TemporaryDirectory() as folder:
        for path, content in files.items():
            place = Path(folder, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        find = lambda path: Path(folder, path) if path in files else bake.checkpoint / path  # noqa: E731
        compare_tokens(name, tokenizer, limit, opened(find))
    for path, content in files.items():
        bake.asset(path, content)
    return limit


def texts_to_prove(tokenizer: Any, limit: TokenLimit, longest: int = 1024) -> list[str]:
    """Hard texts for this tokenizer; with one that is cut, unless that computes more than ``longest`` tokens."""
    # The named ones first: they stand for what the network was trained with.
    named = dict.fromkeys([*tokenizer.all_special_tokens, *map(str, tokenizer.added_tokens_encoder)])
    texts = hard_texts(list(named)[:_SPECIAL])
    return [*texts, overlong_text(limit.most)] if limit.cut and limit.most <= longest else texts


def _check(name: str, tokenizer: Any, network: torch.nn.Module) -> None:
    kind = type(tokenizer).__name__
    problems: list[Problem] = []
    if not getattr(tokenizer, "is_fast", False):
        hint = "the container has the library tokenizers: convert it once to a fast tokenizer, and save that by save_pretrained"
        problems.append(Problem(kind, "is written in Python and has no fast form", hint))
        raise _refused(name, problems)
    if tokenizer.pad_token_id is None:
        problems.append(
            Problem(kind, "has no pad_token", "name one in tokenizer_config.json: texts of a batch are padded by it")
        )
    if unknown := sorted(set(tokenizer.model_input_names) - _READ):
        problems.append(
            Problem(kind, f"gives the network {', '.join(unknown)}", f"served are {', '.join(sorted(_READ))}")
        )
    rows = network.get_input_embeddings().num_embeddings  # type: ignore[operator]
    if (largest := max(tokenizer.get_vocab().values())) >= rows:
        hint = "the tokenizer is of another checkpoint, or a token was added that the network does not know"
        problems.append(Problem(kind, f"has ids up to {largest}, but the embedding has {rows} rows", hint))
    elif tokenizer.pad_token_id is not None and (fault := _batch_fault(tokenizer, network)):
        hint = "name a pad_token_id there: without it a decoder does not know a text's last token"
        problems.append(Problem("config.json", f"the network takes no batch of texts: {fault}", hint))
    texts = hard_texts(list(tokenizer.all_special_tokens)[:_SPECIAL])
    types = (
        tokenizer(texts, return_token_type_ids=True)["token_type_ids"]
        if "token_type_ids" in tokenizer.model_input_names
        else ()
    )
    if any(any(each) for each in types):
        problems.append(Problem(kind, "gives a single text token_type_ids other than 0", "such are not served"))
    if problems:
        raise _refused(name, problems)


def _batch_fault(tokenizer: Any, network: torch.nn.Module) -> str | None:
    """What the network says if it refuses two texts at once; decoders that classify do so without a padding token."""
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
        "\n".join([f"The tokenizer of {name} cannot be baked:", *(f"  {each}" for each in problems)]),
        next_action="Mend the checkpoint, or write the image's tokens by docs/adding-a-model.md.",
    )


def _files(bake: Bake, name: str, tokenizer: Any, limit: TokenLimit) -> dict[str, bytes]:
    """Settings, and the tokenizer unless the published one is the same, by their paths in the image."""
    backend = _plain(tokenizer.backend_tokenizer.to_str())
    published = bake.checkpoint / name / _PUBLISHED
    shipped = f"{name}/{_PUBLISHED}" in {each.path for each in bake.settings.ship}
    same = shipped and _plain(published.read_text(encoding="utf-8")) == backend
    settings = {
        "file": f"{name}/{_PUBLISHED if same else _DERIVED}",
        "most": limit.most,
        "truncation": {"max_length": limit.most, "direction": tokenizer.truncation_side} if limit.cut else None,
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
        told = "the framework's tokenizer is not that of the published tokenizer.json, so a derived one is used"
        print(f"{name}: {told}; leave {_PUBLISHED} out of `ship` to save {size:.1f} MB", file=sys.stderr)
    files = {f"{name}/{SETTINGS}": canonical_json(settings)}
    return files if same else {f"{name}/{_DERIVED}": backend.encode(), **files}


def _plain(document: str) -> str:
    """A tokenizer as the library writes it, without truncation and padding: those are settings of ours."""
    tokenizer = Tokenizer.from_str(document)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return str(tokenizer.to_str())


def compare_tokens(name: str, tokenizer: Any, limit: TokenLimit, tokens: Tokens) -> None:
    """Read hard texts by the framework's ``tokenizer`` and by the container's ``tokens``: every text alone, and all as one
    batch. Raises ParityFailed with every text on which they differ."""
    texts = texts_to_prove(tokenizer, limit, longest=limit.most)
    options = {"truncation": True, "max_length": limit.most} if limit.cut else {}
    problems = []
    for text in texts:
        wanted, got = tokenizer(text, **options)["input_ids"], list(tokens.encode([text])[0].ids)
        if wanted != got:
            problems.append(Problem(_short(text), f"the framework reads {_around(wanted, got)}"))
    wanted_batch = tokenizer(texts, padding=True, return_tensors="np", **options)
    got_batch = tokens.batch(tokens.encode(texts))
    for each in ("input_ids", "attention_mask"):
        if not np.array_equal(wanted_batch[each], got_batch[each]):
            problems.append(Problem(each, "of a padded batch differ from the framework's"))
    if problems:
        raise ParityFailed(
            f"The container's tokens of {name} are not the framework's:",
            problems,
            next_action="Correct the image's tokens.py, or report it with the checkpoint's tokenizer_config.json.",
        )


def _around(wanted: Sequence[int], got: Sequence[int]) -> str:
    """Both from the first token that differs."""
    start = next(
        (n for n, pair in enumerate(zip(wanted, got, strict=False)) if pair[0] != pair[1]), min(len(wanted), len(got))
    )
    return f"{json.dumps(wanted[start : start + 8])} from token {start} on, the container {json.dumps(got[start : start + 8])}"


def _short(text: str) -> str:
    return json.dumps(text[:40] + ("…" if len(text) > 40 else ""), ensure_ascii=False)
