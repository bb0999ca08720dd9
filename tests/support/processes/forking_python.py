"""A Python that imports modules once and runs each program in a fork of itself.

``ForkingPython`` starts it and sends it programs: lines of JSON on its stdin (``Program``). Its answers are lines of JSON on its
stdout: how the program ended, and its two outputs. No import may have started a thread, which a fork would lack. The modules may
not read at import what a program's environment changes.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO


@dataclass(frozen=True)
class Program:
    """``words`` follow ``python``: ``-m MODULE …`` or ``FILE …``. It runs in ``folder`` and with ``environment``; None for those
    of the process that forks. After ``seconds`` it is ended by SIGALRM."""

    words: Sequence[str]
    folder: str | None = None
    environment: Mapping[str, str] | None = None
    seconds: int = 600


class ForkingPython:
    """One such process. ``before``: words before its ``python``, such as an emulator's."""

    def __init__(
        self, modules: Sequence[str], root: Path, environment: Mapping[str, str], before: Sequence[str] = ()
    ) -> None:
        self._process = subprocess.Popen(
            [*before, sys.executable, __file__, *modules],
            cwd=root,
            env={**environment, "PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, program: Program) -> tuple[int, str, str]:
        """The exit code (negative: the number of the signal that ended it), stdout and stderr."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        stdin.write(json.dumps(asdict(program)) + "\n")
        stdin.flush()
        answer = stdout.readline()
        assert answer, f"{program.words}: the process that forks ended"
        code, printed, narration = json.loads(answer)
        return code, printed, narration

    def close(self) -> None:
        """End it. It also ends with the process that started it, which closes its stdin."""
        try:
            self._process.communicate(timeout=60)
        finally:
            self._process.kill()
            self._process.wait()


def serve(modules: Sequence[str]) -> None:
    """Run the programs of stdin. In a fork it returns when the program has ended, by SystemExit."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # forks share these objects, as their garbage collection does not visit them
    for line in sys.stdin:
        with TemporaryFile() as stdout, TemporaryFile() as stderr:
            process = os.fork()
            if process == 0:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(stdout.fileno(), 1)
                os.dup2(stderr.fileno(), 2)
                run_program(Program(**json.loads(line)))
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            outputs = [read_again(file) for file in (stdout, stderr)]
        print(json.dumps([code, *outputs]), flush=True)


def read_again(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def run_program(program: Program) -> None:
    """Run it as ``python`` would. Ends this process by SystemExit, so that what the program registered for its end runs."""
    signal.alarm(program.seconds)
    if program.environment is not None:
        os.environ.clear()
        os.environ.update(program.environment)
        tempfile.tempdir = None  # TMPDIR is read when this is None
        time.tzset()
    if program.folder is not None:
        os.chdir(program.folder)
        if "multiprocessing.process" in sys.modules:  # its processes run the main file, as seen from the first folder
            vars(sys.modules["multiprocessing.process"])["ORIGINAL_DIR"] = program.folder
    try:
        run_words(list(program.words))
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    sys.exit(0)


def run_words(words: list[str]) -> None:
    """``sys.argv`` and ``sys.path[0]`` are those that ``python`` sets."""
    if words[0] == "-m":
        sys.path[0], sys.argv = str(Path.cwd()), words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0], sys.argv = str(Path(words[0]).absolute().parent), words
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1:])
