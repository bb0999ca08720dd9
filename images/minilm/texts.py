"""The request and the answer: sentences, and one embedding for each. Every way of serving them shares this module."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from entrypoints.contract import Answer, BadRequest, Field

MAX_CHARACTERS = 100_000
MAX_SENTENCES = 256

FIELDS = (
    Field(
        "texts",
        "text",
        help=f"One sentence a line, {MAX_SENTENCES} at most. Empty lines are left out. Of a long sentence the first "
        "256 tokens count.",
        required=True,
        maximum=MAX_CHARACTERS,
    ),
)


def read_sentences(form: Mapping[str, object]) -> list[str]:
    """The sentences of a form, in order, blanks around them removed. Raises BadRequest for none, and for too many."""
    text = str(form["texts"])
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequest("'texts' has half of a surrogate pair, which is not a character.", field="texts") from None
    sentences = [line.strip() for line in text.split("\n") if line.strip()]
    if not sentences:
        raise BadRequest("'texts' has no sentence: send one a line.", field="texts")
    if len(sentences) > MAX_SENTENCES:
        raise BadRequest(f"'texts' has {len(sentences)} sentences: send {MAX_SENTENCES} at most.", field="texts")
    return sentences


def count_sentences(form: Mapping[str, object]) -> int:
    """Raises as ``read_sentences``."""
    return len(read_sentences(form))


def write_answer(embeddings: npt.NDArray[np.float32]) -> Answer:
    """``{"embeddings": [[...], ...]}`` from an array [sentences, 384], each number by its shortest float32 digits."""
    shortest = embeddings.astype(np.float32).astype(str).astype(np.float64)
    return Answer(json.dumps({"embeddings": shortest.tolist()}, separators=(",", ":")).encode(), "application/json")
