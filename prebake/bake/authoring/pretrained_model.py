"""Loads a transformers model and reports every tensor that does not fit its config.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from prebake.bake.errors import BakeError
from prebake.errors import Problem


def load_pretrained(kind: Any, folder: Path, unused: Sequence[str] = ()) -> Any:
    """The model of a ``save_pretrained`` folder, in eval mode and float32. ``kind`` is a class of transformers.

    unused: substrings of tensor names that may be missing, or may be present without being used, such as another head's.
    Raises BakeError that lists tensors that are missing, unexpected, or of another shape than config.json gives.
    """
    try:
        model, loading_info = kind.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except Exception as error:  # transformers raises any exception for an invalid file
        raise BakeError(
            f"transformers cannot load {folder.name}: {type(error).__name__}: {str(error).strip()[:1500]}",
            next_action="provide a complete checkpoint folder, as save_pretrained writes it",
        ) from error
    if problems := [Problem(folder.name, fault) for fault in _faults(loading_info, unused)]:
        raise BakeError(
            "\n".join(["The weights do not match config.json:", *(f"  {problem}" for problem in problems)]),
            next_action="use the config.json of these weights, or list tensors that the model does not need in `unused`",
        )
    return model.eval().requires_grad_(False)


def _faults(loading_info: Mapping[str, Any], unused: Sequence[str]) -> Iterator[str]:
    for name in sorted(loading_info["missing_keys"]):
        if not any(part in name for part in unused):
            yield f"tensor {name} is missing"
    for name in sorted(loading_info["unexpected_keys"]):
        if not any(part in name for part in unused):
            yield f"tensor {name} is not part of the model"
    for name, given, expected in sorted(loading_info["mismatched_keys"]):
        yield f"tensor {name} has shape {list(given)}, config.json gives {list(expected)}"
