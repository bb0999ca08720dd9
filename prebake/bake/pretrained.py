"""Networks of transformers as their folder has them: every tensor by name and shape, every fault in one error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from prebake.bake.errors import BakeError
from prebake.errors import Problem


def load_pretrained(kind: Any, folder: Path, unused: Sequence[str] = ()) -> Any:
    """The network of a ``save_pretrained`` folder in eval mode and float32. ``kind`` is a class of transformers.

    unused: parts of the names of tensors that only training needs, or another head: the weights may lack them, or have
        them besides.
    Raises BakeError with every tensor that is missing, left over or of another shape than config.json says.
    """
    try:
        network, told = kind.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except Exception as error:  # transformers raises what it pleases for a document or a file that is none
        raise BakeError(
            f"{folder.name} cannot be loaded: {type(error).__name__}: {str(error).strip()[:1500]}",
            next_action="Give a whole folder of one checkpoint, as save_pretrained wrote it.",
        ) from error
    if problems := [Problem(folder.name, fault) for fault in _faults(told, unused)]:
        raise BakeError(
            "\n".join(["The weights are not those of config.json:", *(f"  {each}" for each in problems)]),
            next_action="Give the config.json of these weights; name in `unused` what the network does without.",
        )
    return network.eval().requires_grad_(False)


def _faults(told: Mapping[str, Any], unused: Sequence[str]) -> Iterator[str]:
    for name in sorted(told["missing_keys"]):
        if not any(part in name for part in unused):
            yield f"tensor {name} is missing"
    for name in sorted(told["unexpected_keys"]):
        if not any(part in name for part in unused):
            yield f"tensor {name} is none of the network's"
    for name, given, wanted in sorted(told["mismatched_keys"]):
        yield f"tensor {name} is {list(given)}, by config.json it is {list(wanted)}"
