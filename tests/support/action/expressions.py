"""A small evaluator of GitHub's expressions: names, texts, ``== != && || !``, ``always()`` and ``success()``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(r"\s*(&&|\|\||==|!=|!|\(|\)|'(?:[^']|'')*'|[\w.-]+)")
_PLACE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
STATUS = re.compile(r"\b(always|success|failure|cancelled)\(\)")


class Expression:
    """One expression over ``contexts``; ``failed`` is whether an earlier step failed."""

    def __init__(self, text: str, contexts: Mapping[str, Any], failed: bool = False) -> None:
        self._tokens = _tokens(text)
        self._contexts = contexts
        self._failed = failed

    def value(self) -> Any:
        value = self._either()
        assert not self._tokens, f"not understood: {self._tokens}"
        return value

    def _either(self) -> Any:
        value = self._both()
        while self._take("||"):
            other = self._both()
            value = value or other
        return value

    def _both(self) -> Any:
        value = self._equal()
        while self._take("&&"):
            other = self._equal()
            value = value and other
        return value

    def _equal(self) -> Any:
        value = self._single()
        if self._take("=="):
            return _text(value) == _text(self._single())
        if self._take("!="):
            return _text(value) != _text(self._single())
        return value

    def _single(self) -> Any:
        if self._take("!"):
            return not self._single()
        if self._take("("):
            value = self._either()
            assert self._take(")")
            return value
        token = self._tokens.pop(0)
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if self._take("("):
            assert self._take(")")
            return {"always": True, "success": not self._failed, "failure": self._failed}[token]
        return self._look_up(token)

    def _look_up(self, name: str) -> Any:
        value: Any = self._contexts
        for part in name.split("."):
            value = value.get(part, "") if isinstance(value, Mapping) else ""
        return value

    def _take(self, token: str) -> bool:
        if self._tokens[:1] != [token]:
            return False
        self._tokens.pop(0)
        return True


def evaluate(text: str, contexts: Mapping[str, Any]) -> str:
    """A text with every ``${{ … }}`` in it replaced."""
    return _PLACE.sub(lambda found: _text(Expression(found[1], contexts).value()), str(text))


def runs(condition: str, contexts: Mapping[str, Any], failed: bool) -> bool:
    """Whether a step with this ``if`` runs. Without a status function, it does not run after a failure."""
    bare = _PLACE.sub(lambda found: found[1], condition) or "success()"
    if not STATUS.search(bare):
        bare = f"success() && ({bare})"
    return bool(Expression(bare, contexts, failed).value())


def _tokens(text: str) -> list[str]:
    tokens, place = [], 0
    text = text.strip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        assert found, f"not understood: {text[place:]}"
        tokens.append(found[1])
        place = found.end()
    return tokens


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
