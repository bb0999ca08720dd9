"""Published schemas: of JSON Schema, of a Kubernetes cluster, of a CycloneDX bill of materials.

Import their packages from here. When ``jsonschema`` is imported it imports ``rfc3987_syntax``, which makes 38 parsers: that takes
longer than all else that pytest imports for the unit tests. Here this package is imported when a value of the format ``iri`` or
``iri-reference`` is first checked.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_SYNTAX = "rfc3987_syntax"


class _Postponed(ModuleType):
    """Stands in ``sys.modules`` for ``rfc3987_syntax`` while ``jsonschema`` is imported."""

    @staticmethod
    def is_valid_syntax(term: str, value: str) -> bool:
        return bool(importlib.import_module(_SYNTAX).is_valid_syntax(term, value))


if _SYNTAX in sys.modules or "jsonschema" in sys.modules:
    import jsonschema
else:
    sys.modules[_SYNTAX] = _Postponed(_SYNTAX)
    import jsonschema

    del sys.modules[_SYNTAX]

import kubernetes_validate  # noqa: E402
from cyclonedx.schema import SchemaVersion  # noqa: E402
from cyclonedx.validation.json import JsonStrictValidator  # noqa: E402
from jsonschema import Draft202012Validator  # noqa: E402

__all__ = ["Draft202012Validator", "JsonStrictValidator", "SchemaVersion", "jsonschema", "kubernetes_validate"]
