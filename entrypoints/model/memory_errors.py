"""The answer to a request that needs more memory than there is."""

from __future__ import annotations

import traceback
from typing import Any

from entrypoints.hardware.memory import is_about_device, is_out_of_memory
from entrypoints.processes.log import log_event
from entrypoints.response import Response, error_response
from entrypoints.runtime.arena import find_arenas


def answer_memory_error(error: BaseException) -> Response | None:
    """413, which tells clients and proxies not to send the same again; None if the error has another reason. Logs the event
    ``out of memory``."""
    if not is_out_of_memory(error):
        return None
    from entrypoints.hardware.container_memory import ContainerMemory
    from entrypoints.hardware.memory_faults import read_figures

    arenas = find_arenas()
    arenas.shrink_soon()
    is_device = is_about_device(error, on_device=arenas.runs_on_device())
    where = "device" if is_device else "container"
    figures: dict[str, Any] = {} if is_device else dict(read_figures(ContainerMemory()))
    trace = traceback.format_exception(error)
    text = f"{type(error).__name__}: {error}"
    log_event("out of memory", level="error", of=where, error=text, traceback=trace, **figures)
    advice = "send a smaller request (a smaller size, fewer frames or texts)"
    return error_response(413, f"This request needs more memory than the {where} has; {advice}.")
