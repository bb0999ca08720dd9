"""JSON that somebody else may have written: the value, or every problem of it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from prebake.errors import Problem

MAX_DEPTH = 60


def read_json(text: str, where: str) -> tuple[Any, list[Problem]]:
    """Parse strictly: keys given twice, NaN, infinity, half a surrogate pair and deep nesting are problems."""
    problems: list[Problem] = []

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            problems.extend(Problem(where, f"{key!r} is given twice") for key, count in counts.items() if count > 1)
        return document

    def refuse(word: str) -> None:
        problems.append(Problem(where, f"{word} is not a JSON number"))

    try:
        document = json.loads(text, object_pairs_hook=read_object, parse_constant=refuse)
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except json.JSONDecodeError as error:
        return None, [*problems, Problem(f"{where}:{error.lineno}", f"is not JSON: {error}")]
    except UnicodeEncodeError:
        return None, [
            *problems,
            Problem(where, "has half of a surrogate pair (\\ud800 to \\udfff), which is not a character"),
        ]
    except ValueError as error:  # such as 1e999, or an integer of 5000 digits
        return None, [*problems, Problem(where, f"has a number that cannot be read: {error}")]
    except RecursionError:
        return None, [Problem(where, "is nested too deeply")]
    if _is_deep(document):
        problems.append(Problem(where, f"is nested too deeply: more than {MAX_DEPTH} levels"))
    return (None if problems else document), problems


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for value in level
            if isinstance(value, (dict, list))
            for child in (value.values() if isinstance(value, dict) else value)
        ]
    return bool(level)
