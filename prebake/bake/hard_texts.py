"""Texts on which tokenizers of one vocabulary differ, if one of their settings does."""

from __future__ import annotations

from collections.abc import Iterable

_TEXTS = (
    "A container starts warm.",
    "Weights, layers & images: 3.5 GiB (2026-12-01) — \"pulled\" once, 'cached' everywhere…",
    "GRÖSSE, Größe, naïve café, Ångström, Søren, İstanbul, ı, ŁÓDŹ, Ελληνικά ΑΓΊΑΣ",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m",  # the same accents as separate characters
    "東京で始まる 容器很快 컨테이너가 빠르다 ひらがなカタカナ",
    "神经network混合text文本 and ﾊﾝｶｸ ＦＵＬＬＷＩＤＴＨ １２３",
    "سلام دنیا שלום עולם नमस्ते दुनिया สวัสดีชาวโลก Привет, МИР Ёлка",
    "🙂 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ✈️ warm🔥start",
    "ﬁne ﬂow ½ ² ℌ Ⅳ ™ ẞ ǆ",
    "zero\u200bwidth soft\u00adhyphen no\u00a0break tab\there wide\u3000space \ufeffmark",
    "control\u0007 and \u0085 next line, line\u2028separator, private \ue000",
    "two  spaces   and    more , space before comma ( and in brackets ) !",
    "don't can't I'm they've we'll it's o'clock rock'n'roll",
    "https://example.org/a/b?c=d&e=%20f#g user@example.org #tag @name C:\\path\\file.txt",
    "def f(x_1): return {'a': [x_1 ** 2, -0.5e-3]}  # snake_case camelCase SCREAMING_CASE",
    "1234567890 12,345.67 0x1F 007 ١٢٣ 3rd 50% $9.99 €1 ±2",
    "supercalifragilisticexpialidocious" * 4,
    "aaaaaaaaaaaaaaaaaaaa ........... !!!??? ----- _____ ",
    "x",
    "é",
    "▁piece ##piece Ġpiece </w> <0x41> [unused1]",  # what tokenizers write for themselves
)
_FILLER = "warm Été 東京 layer, "


def hard_texts(special: Iterable[str]) -> list[str]:
    """Texts of one line, without blanks around them: accents, scripts without spaces, emoji, control characters, and each of
    the ``special`` tokens of a tokenizer alone, within words and between blanks."""
    texts = [*_TEXTS]
    for token in special:
        texts += [token, f"before {token} after", f"before{token}after", f"UPPER {token.upper()} {token.lower()}"]
    lines = [" ".join(text.split("\n")).strip() for text in texts]
    return [line for line in dict.fromkeys(lines) if line]


def overlong_text(tokens: int) -> str:
    """A text of more than so many tokens, by any tokenizer, whose beginning and end differ."""
    return f"The beginning counts here. {_FILLER * (tokens // 4 + 1)} And there the end counts."
