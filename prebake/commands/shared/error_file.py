"""``PREBAKE_ERROR_FILE``: the error that ended a command as JSON, for a program that started it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prebake.errors import PrebakeError

VARIABLE = "PREBAKE_ERROR_FILE"
SCHEMA = 1


def remove_error_file(environ: Mapping[str, str] = os.environ) -> None:
    """Remove the file of an earlier command, if the variable names one."""
    if path := _find_path(environ):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _warn(path, error.strerror)


def write_error_file(error: PrebakeError, environ: Mapping[str, str] = os.environ) -> None:
    """Write the error, if the variable names a file. A file that cannot be written is a warning: the error itself was printed."""
    if path := _find_path(environ):
        from prebake.io.atomic_write import write_text

        try:
            write_text(path, _describe(error))
        except OSError as fault:
            _warn(path, fault.strerror)


def _find_path(environ: Mapping[str, str]) -> Path | None:
    """None as well, with a warning, for anything but a regular file: a rename would replace a device or a pipe."""
    if not (name := environ.get(VARIABLE, "")):
        return None
    path = Path(os.path.realpath(name))
    if os.path.exists(path) and not path.is_file():  # noqa: PTH110  it is false for a path that this user may not see
        _warn(path, "it is not a regular file")
        return None
    return path


def _describe(error: PrebakeError) -> str:
    import json

    from prebake.errors import InputProblems

    problems = error.problems if isinstance(error, InputProblems) else ()
    document = {
        "schema": SCHEMA,
        "exit_code": error.exit_code,
        "error": type(error).__name__,
        "message": error.message,
        "next_action": error.next_action,
        "problems": [
            {
                "where": problem.where,
                "what": problem.what,
                "hint": problem.hint,
                "file": problem.file,
                "line": problem.line,
            }
            for problem in problems
        ],
    }
    return json.dumps(document, indent=2) + "\n"  # ASCII: a message may name a path that is not UTF-8


def _warn(path: Path, reason: str | None) -> None:
    print(f"warning: {VARIABLE}: {path} is not written: {reason}", file=sys.stderr)
