"""What Python reports by itself, as fields of the log: exceptions that nothing caught, records of the module logging, errors of
asyncio's loop. Imported with the first of them."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Hashable, Mapping
from typing import NamedTuple

LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))


class Report(NamedTuple):
    """Reports of one ``source`` are the same line repeated; it does not depend on what a client sent."""

    source: Hashable
    level: str
    details: Mapping[str, object]


def describe_exception(error: BaseException, where: str = "") -> Report:
    """The source is the type of the error and the line of code that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else None
    details = {"where": where} if where else {}
    return Report((type(error).__name__, place), "error", {**details, **read_exception(error)})


def read_exception(error: BaseException) -> dict[str, str]:
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # an exception whose text raises
        text = type(error).__name__
    try:
        trace = "".join(traceback.format_exception(error))
    except Exception as other:  # the same, or no memory
        trace = f"cannot be shown: {type(other).__name__}"
    return {"error": text, "traceback": trace}


def describe_unraisable(arguments: sys.UnraisableHookArgs) -> Report:
    """An error in a place that cannot raise, such as ``__del__``."""
    where = f"{arguments.err_msg or 'Exception ignored in'}: {read_object(arguments.object)}"
    if arguments.exc_value is not None:
        return describe_exception(arguments.exc_value, where)
    name = arguments.exc_type.__name__
    return Report(name, "error", {"where": where, "error": name})


def read_object(value: object) -> str:
    try:
        return f"{value!r:.200}"
    except Exception:  # its __repr__ raises
        return type(value).__name__


def describe_record(record: logging.LogRecord) -> Report:
    """The source is the statement that logs, whatever its arguments are."""
    try:
        text = record.getMessage()
    except Exception:  # its arguments do not fit
        text = str(record.msg)
    error = record.exc_info[1] if record.exc_info else None
    level = next((name for number, name in LEVELS if record.levelno >= number), "debug")
    details = {"logger": record.name, "text": text.strip()} | (read_exception(error) if error else {})
    return Report((record.pathname, record.lineno), level, details)


def describe_loop_error(context: Mapping[str, object]) -> Report:
    """Log the context that asyncio's loop gives to its exception handler."""
    text = str(context.get("message", "an error in the event loop"))
    error = context.get("exception")
    if not isinstance(error, BaseException):
        return Report(text, "error", {"logger": "asyncio", "text": text})
    report = describe_exception(error)
    return Report((text, report.source), "error", {"logger": "asyncio", "text": text, **report.details})
