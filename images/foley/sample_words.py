"""A small tokenizer for the sample checkpoint: byte-level pair encoding, laid out as RoBERTa's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
"""Their ids are their places, as in RoBERTa's vocabulary; ``<mask>`` comes last of all."""
MASK = "<mask>"
MERGES = 300

TEXT = """
a dog barks at a passing car while rain falls on the roof and distant thunder rolls over the hills
footsteps on gravel and then on a wooden floor as a door creaks open and closes with a heavy thud
the engine of an old motorcycle starts and idles and then speeds away down the empty street
waves break on the shore and gulls cry above the harbour while a bell rings on a slow boat
birds sing in the quiet forest and wind moves through the leaves of tall trees
a crowd cheers and claps in a large hall with soft echo and clear close sound
water pours into a glass and ice clinks and somebody stirs it with a metal spoon
keys on a keyboard click quickly and a chair squeaks and paper is torn and crumpled
noisy, harsh, low quality, clean, high quality, loud, quiet, deep, bright, music, speech, voice
"""

Pair = tuple[str, str]


@dataclass(frozen=True)
class Words:
    """A vocabulary by token, and the merges that lead to it, in order of rank."""

    vocabulary: dict[str, int]
    merges: list[Pair]


def make() -> Words:
    """Learn ``MERGES`` merges from ``TEXT``: each time the most frequent pair, the first by alphabet among equals."""
    signs = byte_signs()
    words = Counter(tuple(signs[byte] for byte in word.encode()) for word in re.findall(r" ?[^\s]+", TEXT))
    merges: list[Pair] = []
    while len(merges) < MERGES:
        pairs: Counter[Pair] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        words = Counter({_merge(word, best): count for word, count in words.items()})
        merges.append(best)
    tokens = [*SPECIAL, *sorted(signs), *_once("".join(pair) for pair in merges), MASK]
    return Words({token: place for place, token in enumerate(tokens)}, merges)


def byte_signs() -> list[str]:
    """A printable character for each byte: itself where it is one, else the next free one from U+0100 on (GPT-2)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    signs, free = [], 0x100
    for byte in range(256):
        signs.append(chr(byte if byte in printable else free))
        free += byte not in printable
    return signs


def tokenizer(words: Words) -> dict[str, Any]:
    """The document ``tokenizer.json``: byte-level pieces, ``<s>`` before a text and ``</s>`` after it."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(token, words.vocabulary[token]) for token in (*SPECIAL, MASK)],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": ["</s>", words.vocabulary["</s>"]],
            "cls": ["<s>", words.vocabulary["<s>"]],
            "trim_offsets": True,
            "add_prefix_space": False,
        },
        "decoder": level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": words.vocabulary,
            "merges": [list(merge) for merge in words.merges],
        },
    }


def _added(token: str, place: int) -> dict[str, Any]:
    return {
        "id": place,
        "content": token,
        "single_word": False,
        "lstrip": token == MASK,
        "rstrip": False,
        "normalized": True,
        "special": True,
    }


def _merge(word: tuple[str, ...], pair: Pair) -> tuple[str, ...]:
    merged: list[str] = []
    for sign in word:
        if merged and (merged[-1], sign) == pair:
            merged[-1] += sign
        else:
            merged.append(sign)
    return tuple(merged)


def _once(tokens: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(tokens))
