"""What a classifier's configuration says of its labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.beginnings.folder import CONFIG, Folder

_UNSAID = 2  # labels, where config.json does not tell: transformers' own default


def check_labels(folder: Folder, config: Mapping[str, Any]) -> int:
    """How many labels there are; problems where two have one name, or an index has none."""
    names = dict(config.get("id2label") or {})
    if faults := [str(key) for key, name in names.items() if not str(key).isdecimal() or not isinstance(name, str)]:
        folder.problems.append(Problem(CONFIG, f"id2label is no map of numbers to names at {', '.join(faults)}"))
    elif lacking := sorted(set(range(len(names))) - {int(key) for key in names}):
        folder.problems.append(Problem(CONFIG, f"id2label has {len(names)} labels, and none for {lacking}"))
    twice = sorted(str(name) for name, count in Counter(map(str, names.values())).items() if count > 1)
    if twice:
        folder.problems.append(Problem(CONFIG, f"id2label has these more than once: {', '.join(twice)}"))
    return len(names) or int(config.get("num_labels") or _UNSAID)


def activation(config: Mapping[str, Any], labels: int) -> str:
    """How logits become scores, as the pipeline of transformers has it: softmax, sigmoid, or none for a regression."""
    kind = config.get("problem_type")
    if kind == "regression":
        return "none"
    return "sigmoid" if kind == "multi_label_classification" or labels == 1 else "softmax"
