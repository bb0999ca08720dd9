"""Reading documents of the bake's own into dataclasses: every fault of one is collected. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from prebake.errors import Problem


class Reader:
    """Collects problems instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def _numbers(self, value: object, kind: type, where: str) -> dict[str, Any]:
        given = self._mapping(value, where)
        for name in given:
            self._typed(given, name, kind, where)
        return given

    def _flat(self, kind: type[Any], value: object, where: str) -> Any:
        given = self._known(kind, self._mapping(value, where), where)
        for each in fields(kind):
            if each.name in given:
                self._typed(
                    given, each.name, {"str": str, "int": int, "bool": bool, "float": float}[str(each.type)], where
                )
        return None if self.problems else kind(**given)

    def _known(self, kind: type[Any], value: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The fields of ``kind`` in ``value``; a field it does not know, and a needed one missing, are problems."""
        names = {each.name for each in fields(kind)}
        needed = {each.name for each in fields(kind) if not _has_default(each)}
        prefix = f"{where}." if where else ""
        self.problems += [Problem(prefix + name, "no such setting") for name in sorted(value.keys() - names)]
        self.problems += [Problem(prefix + name, "missing") for name in sorted(needed - value.keys())]
        return {name: value[name] for name in value.keys() & names}

    def _mapping(self, value: object, where: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self.problems.append(Problem(where, "must be an object"))
        return {}

    def _typed(self, given: Mapping[str, Any], name: str, kind: type, where: str) -> None:
        value = given.get(name)
        allowed = (float, int) if kind is float else kind
        if name in given and (not isinstance(value, allowed) or (kind in (int, float) and isinstance(value, bool))):
            self.problems.append(Problem(f"{where}.{name}".lstrip("."), f"must be {kind.__name__}, not {value!r}"))


def _has_default(each: Any) -> bool:
    return each.default is not MISSING or each.default_factory is not MISSING
