"""Unknown keys of a checkpoint's documents. Each is a problem, since it may change the model's answer."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.init.checkpoint_folder import CheckpointFolder


def check_keys(folder: CheckpointFolder, name: str, document: Mapping[str, Any], *known: Collection[str]) -> None:
    """A problem for each key of the document ``name`` that is in none of ``known``, unless its value is empty or false."""
    for key in sorted(document.keys() - {key for keys in known for key in keys}):
        value = document[key]
        if value is not False and value not in (None, {}, []):
            what = f"{key} is {json.dumps(value)[:60]}, and init does not know this setting"
            folder.problems.append(Problem(name, what, "it may change the answer"))
