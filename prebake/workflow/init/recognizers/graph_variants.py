"""Names of ONNX files that are variants of one graph (precisions, optimizations), as exporters publish them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Suffixes and folder names by which Optimum, transformers.js, sentence-transformers and ONNX Runtime's tools name variants.
_WORDS = (
    r"fp32|float32|fp16|float16|half|bf16|bfloat16|fp8|int8|uint8|int4|uint4|[48]-?bits?|q[248](f16|f32)?|q[48]_[01]|bnb4"
    r"|q?u?int8([_-](arm64|avx2|avx512|avx512[_-]vnni|ppc64le|amd64|tensorrt))?|quant|quantized|quantised|dynamic|static"
    r"|o[1-4]|opt|optimized|optimised|sim|simplified"
)
_ENDING = re.compile(rf"(.+)[_.-]({_WORDS})", re.IGNORECASE)
_WORD = re.compile(_WORDS, re.IGNORECASE)
_GENERAL = "onnx"  # a folder for graphs of any variant


@dataclass(frozen=True)
class GraphVariants:
    """The files of one graph. ``plain`` is the only file, or the only one without a variant in its name, or None."""

    names: tuple[str, ...]
    plain: str | None


def group_variants(names: Iterable[str]) -> list[GraphVariants]:
    """Paths of ``.onnx`` files, grouped by graph in the order of each group's first file."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_graph(name), []).append(name)
    return [GraphVariants(tuple(group), _plain(group)) for group in groups.values()]


def _plain(group: Sequence[str]) -> str | None:
    found = group if len(group) == 1 else [name for name in group if not _is_variant(name)]
    return found[0] if len(found) == 1 else None


def _graph(name: str) -> str:
    """The path without the words of a variant."""
    *folders, file = name.split("/")
    kept = [_shorten(folder) for folder in folders if not _WORD.fullmatch(folder)]
    return "/".join([*(folder for folder in kept if folder != _GENERAL), _shorten(file.removesuffix(".onnx"))])


def _is_variant(name: str) -> bool:
    *folders, file = name.removesuffix(".onnx").split("/")
    return any(_WORD.fullmatch(folder) for folder in folders) or any(
        _shorten(word) != word for word in (*folders, file)
    )


def _shorten(word: str) -> str:
    while (match := _ENDING.fullmatch(word)) is not None:
        word = match[1]
    return word
