"""Keys of a document that somebody here knows: every other one may decide the answer, and is a problem by name."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.beginnings.folder import Folder


def check_keys(folder: Folder, name: str, says: Mapping[str, Any], *known: Collection[str]) -> None:
    """A problem for each key of the document ``name`` that is in none of ``known``, unless its value says nothing."""
    for key in sorted(says.keys() - {each for keys in known for each in keys}):
        value = says[key]
        if value is not False and value not in (None, {}, []):
            what = f"{key} is {json.dumps(value)[:60]}, and is no setting that is known"
            folder.problems.append(Problem(name, what, "it may decide the answer"))
