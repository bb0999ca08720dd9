"""The labels in a classifier's configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.init.checkpoint_folder import CONFIG, CheckpointFolder

_DEFAULT_LABELS = 2  # transformers' default if config.json has none


def check_labels(folder: CheckpointFolder, config: Mapping[str, Any]) -> int:
    """The number of labels. Two labels with one name, or an index without a name, are problems."""
    names = dict(config.get("id2label") or {})
    if faults := [str(key) for key, name in names.items() if not str(key).isdecimal() or not isinstance(name, str)]:
        folder.problems.append(Problem(CONFIG, f"id2label does not map numbers to names at {', '.join(faults)}"))
    elif missing := sorted(set(range(len(names))) - {int(key) for key in names}):
        folder.problems.append(Problem(CONFIG, f"id2label has {len(names)} labels, but none for {missing}"))
    twice = sorted(str(name) for name, count in Counter(map(str, names.values())).items() if count > 1)
    if twice:
        folder.problems.append(Problem(CONFIG, f"id2label has these names more than once: {', '.join(twice)}"))
    return len(names) or int(config.get("num_labels") or _DEFAULT_LABELS)


def choose_activation(config: Mapping[str, Any], labels: int) -> str:
    """The function from logits to scores, as in transformers' pipeline: softmax, sigmoid, or none for a regression."""
    kind = config.get("problem_type")
    if kind == "regression":
        return "none"
    return "sigmoid" if kind == "multi_label_classification" or labels == 1 else "softmax"
