"""``python forking_python.py MODULE…``: a Python that imports modules once, and runs each program in a fork of itself.

A program is a line of JSON on stdin, the words that would follow ``python``: ``-m MODULE …`` or ``FILE …``. Its answer is a line
of JSON on stdout: how the program ended, and its two outputs. No import may have started a thread, which a fork would lack.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import traceback
from collections.abc import Sequence
from tempfile import TemporaryFile
from typing import IO, NoReturn


def main(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    for line in sys.stdin:
        with TemporaryFile() as stdout, TemporaryFile() as stderr:
            process = os.fork()
            if process == 0:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(stdout.fileno(), 1)
                os.dup2(stderr.fileno(), 2)
                run_program(json.loads(line))
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            outputs = [read_again(file) for file in (stdout, stderr)]
        print(json.dumps([code, *outputs]), flush=True)


def read_again(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def run_program(words: Sequence[str]) -> NoReturn:
    """Run it as ``python`` would, and end the process."""
    code = 0
    try:
        if words[0] == "-m":
            sys.argv = list(words[1:])
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(words)
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
