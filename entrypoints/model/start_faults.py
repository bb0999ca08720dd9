"""The fault that an exception of a start means. Imported only by a start that fails."""

from __future__ import annotations

from entrypoints.errors import DamagedFile, Fault, MissingFile, ModelFault, SessionFault
from entrypoints.hardware.memory import is_out_of_memory
from entrypoints.processes.log import log_exception
from entrypoints.processes.process_limit import find_process_limit


def make_fault(error: BaseException, *, on_device: bool) -> Fault:
    """An exception that is no fault is logged with its traceback. ``on_device``: graphs run on a device, so that ONNX Runtime's
    words for a failed allocation mean its memory."""
    if isinstance(error, (MissingFile, DamagedFile)):
        return error
    is_fault, is_memory = isinstance(error, Fault), is_out_of_memory(error)
    if not is_fault:
        log_exception(error, "start")
    if fault := find_process_limit(error):
        return fault
    if isinstance(error, Fault) and not (is_memory and isinstance(error, SessionFault)):
        return error
    reason = str(error) if is_fault else f"{type(error).__name__}: {error}"
    if not is_memory:
        return ModelFault(reason)
    from entrypoints.hardware.memory_faults import make_memory_fault

    return make_memory_fault(error, reason, on_device=on_device)
