"""The sample checkpoint's tokenizer: Qwen's kind (byte-level BPE, NFC, its own pattern), with few merges.

The documents are written here and not by a library, so that their bytes do not depend on its version.
"""

from __future__ import annotations

from typing import Any, NamedTuple

WORDS = ("the", "cat", "with", "image", "river", "light", " a", " of", " on", " in")
"""Each is one token, its beginnings too."""

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Where Qwen2Tokenizer and its successors cut a text before they merge."""

CHAT_TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}
{{- '<think>\\n\\n</think>\\n\\n' }}
{%- endif %}
{%- endif %}
"""
"""What Qwen3's comes to for messages without tools and answers."""


class Words(NamedTuple):
    """Pieces by id, special tokens not among them, and the merges in their order."""

    vocabulary: dict[str, int]
    merges: list[tuple[str, str]]


def make() -> Words:
    """All 256 bytes, and every beginning of every word of ``WORDS``."""
    pieces, merges = sorted(_letters().values()), []
    for word in WORDS:
        letters = [_letters()[byte] for byte in word.encode()]
        for end in range(1, len(letters)):
            merge = "".join(letters[:end]), letters[end]
            if "".join(merge) not in pieces:
                merges.append(merge)
                pieces.append("".join(merge))
    return Words({piece: number for number, piece in enumerate(pieces)}, merges)


def _letters() -> dict[int, str]:
    """A printable letter for each byte, as GPT-2 chose them: its own where it has one, else one from 256 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(256) if byte not in printable)
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + place) for place, byte in enumerate(others)}


def tokenizer(words: Words) -> dict[str, Any]:
    """``tokenizer.json``."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_special(len(words.vocabulary) + place, token) for place, token in enumerate(SPECIAL)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
                _byte_level(trim_offsets=False, use_regex=False),
            ],
        },
        "post_processor": _byte_level(trim_offsets=False, use_regex=False),
        "decoder": _byte_level(trim_offsets=False, use_regex=False),
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


def _byte_level(*, trim_offsets: bool, use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": trim_offsets, "use_regex": use_regex}


def _special(number: int, content: str) -> dict[str, Any]:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": content, **plain, "special": True}


def tokenizer_config(words: Words) -> dict[str, Any]:
    """``tokenizer_config.json``, with the chat template in it as Qwen3's has it."""
    specials = (_special(len(words.vocabulary) + place, token) for place, token in enumerate(SPECIAL))
    return {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(each.pop("id")): each for each in specials},
        "additional_special_tokens": list(SPECIAL[1:]),
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "eos_token": "<|im_end|>",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
