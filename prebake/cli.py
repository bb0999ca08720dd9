"""The command. The one place that catches errors and prints them: results on stdout, narration on stderr."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from prebake.colour import alarming
from prebake.commands.parsing import parse
from prebake.disk import path_refused
from prebake.errors import Interrupted, PrebakeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        run, request = parse(words)
        run(request)
    except PrebakeError as error:
        return _fail(error)
    except KeyboardInterrupt as stop:
        return _fail(Interrupted(str(stop) or "Interrupted.", next_action="run it again: what was finished is kept"))
    except OSError as error:
        return _refuse(error)
    return 0


def _refuse(error: OSError) -> int:
    if isinstance(error, BrokenPipeError):  # the reader of stdout went away, `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    if refused := path_refused(error):
        return _fail(refused)
    raise error


def _terminate(number: int, _frame: FrameType | None) -> None:
    """As Ctrl-C does it: libraries catch every other exception, and would make a failure of the Engine of this one."""
    raise KeyboardInterrupt(f"Stopped by {signal.Signals(number).name}.")


def _fail(error: PrebakeError) -> int:
    print(f"{alarming('error:', sys.stderr)} {error.message}\n  next: {error.next_action}", file=sys.stderr)
    return error.exit_code
