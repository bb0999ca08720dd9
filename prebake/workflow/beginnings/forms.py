"""Names of ONNX files that hold one graph in several forms (precisions, optimisations), as exporters publish them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# What Optimum, transformers.js, sentence-transformers and ONNX Runtime's tools append to a graph's name, or call its folder.
_WORDS = (
    r"fp32|float32|fp16|float16|half|bf16|bfloat16|fp8|int8|uint8|int4|uint4|[48]-?bits?|q[248](f16|f32)?|q[48]_[01]|bnb4"
    r"|q?u?int8([_-](arm64|avx2|avx512|avx512[_-]vnni|ppc64le|amd64|tensorrt))?|quant|quantized|quantised|dynamic|static"
    r"|o[1-4]|opt|optimized|optimised|sim|simplified"
)
_ENDING = re.compile(rf"(.+)[_.-]({_WORDS})", re.IGNORECASE)
_WORD = re.compile(_WORDS, re.IGNORECASE)
_GENERAL = "onnx"  # a folder for graphs of whatever form


@dataclass(frozen=True)
class Forms:
    """``names`` are the files that hold one graph; ``plain`` is the one whose name speaks of no form, or that is alone. None:
    the names do not tell which one that is."""

    names: tuple[str, ...]
    plain: str | None


def group_forms(names: Iterable[str]) -> list[Forms]:
    """Paths of ``.onnx`` files, a group for each graph, in the order of the first of each."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_graph(name), []).append(name)
    return [Forms(tuple(group), _plain(group)) for group in groups.values()]


def _plain(group: Sequence[str]) -> str | None:
    found = group if len(group) == 1 else [name for name in group if not _is_form(name)]
    return found[0] if len(found) == 1 else None


def _graph(name: str) -> str:
    """The path without the words that tell a form."""
    *folders, file = name.split("/")
    kept = [_shorten(folder) for folder in folders if not _WORD.fullmatch(folder)]
    return "/".join([*(folder for folder in kept if folder != _GENERAL), _shorten(file.removesuffix(".onnx"))])


def _is_form(name: str) -> bool:
    *folders, file = name.removesuffix(".onnx").split("/")
    return any(_WORD.fullmatch(folder) for folder in folders) or any(
        _shorten(each) != each for each in (*folders, file)
    )


def _shorten(word: str) -> str:
    while (match := _ENDING.fullmatch(word)) is not None:
        word = match[1]
    return word
