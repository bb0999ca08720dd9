"""Gives back memory that the model process keeps for its next requests, because an operator asked for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from entrypoints.contract import Answer
from entrypoints.processes.log import log_event, request_context
from entrypoints.runtime.arena import empty_torch_cache, find_arenas, read_resident_bytes

if TYPE_CHECKING:
    from entrypoints.forms.raw_clear import RawClear
    from entrypoints.model.inference import Compute, Inference


def prepare_clear(request: RawClear) -> Compute:
    """A worker does it between two requests, so that it takes no memory from one that it answers."""
    return partial(clear_memory, request.context)


def clear_memory(context: Mapping[str, str], _inference: Inference) -> Answer:
    """The answer has the resident bytes of the process that no file backs, before and after."""
    request_context.set(context)
    before = read_resident_bytes()
    find_arenas().clear()
    empty_torch_cache()
    resident = {"before": before, "after": read_resident_bytes()}
    log_event("cleared", resident_bytes=resident)
    return Answer(json.dumps({"resident_bytes": resident}).encode(), "application/json")
