"""The message about a document whose schema version is not the one that this Prebake reads."""

from __future__ import annotations

import prebake
from prebake.errors import newer_schema


def describe_mismatch(found: object, known: int, older_action: str) -> str:
    """Empty if ``found`` is ``known``. ``older_action``: what to do with the document of an older Prebake."""
    if found == known and not isinstance(found, bool):
        return ""
    if isinstance(found, int) and not isinstance(found, bool) and found < known:
        version = f"schema {found}; this version ({prebake.__version__}) reads {known}"
        return f"was written by an older Prebake: {version}: {older_action}"
    return newer_schema(found, known) or f"has no schema version, or one that is not a number: {found!r}"
