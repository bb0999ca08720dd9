"""A Python process that imports modules once and runs each program in a fork of itself.

``ForkingPython`` starts the process and sends it each ``Program`` as a line of JSON. The process answers with a line of JSON: the
program's exit code, stdout and stderr. A module must not start threads when it is imported, since a fork has none of them, and
must not read environment variables then, since each program has its own.
"""

from __future__ import annotations

import contextlib
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
from threading import Timer
from typing import IO

_IMPORT_SECONDS = 300
"""How long the imports may take, also under an emulator."""


@dataclass(frozen=True)
class Program:
    """``words`` follow ``python``: ``-m MODULE …`` or ``FILE …``. If ``folder`` or ``environment`` is None, the program has that
    of the process that forks. After ``seconds``, SIGALRM ends the program."""

    words: Sequence[str]
    folder: str | None = None
    environment: Mapping[str, str] | None = None
    seconds: int = 600


class ForkingPython:
    """The process, and how to run programs in it. ``before``: the words before ``python`` in its command, such as an emulator."""

    def __init__(
        self, modules: Sequence[str], root: Path, environment: Mapping[str, str], before: Sequence[str] = ()
    ) -> None:
        self._command = [*before, sys.executable, __file__, *modules]
        self._root = root
        self._environment = {**environment, "PYTHONPATH": str(root)}
        self._process = self._start()

    def run(self, program: Program) -> tuple[int, str, str]:
        """The exit code (negative: the number of the signal that ended it), stdout and stderr."""
        if self._process.poll() is not None:  # an earlier program hung: that is its failure, not this one's
            self._process = self._start()
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        watch = Timer(program.seconds + _IMPORT_SECONDS, self._kill)
        watch.start()
        try:
            stdin.write(json.dumps(asdict(program)) + "\n")
            stdin.flush()
            answer = stdout.readline()
        finally:
            watch.cancel()
        if not answer:
            self._kill()
            raise AssertionError(
                f"{program.words}: the process that forks ended, or was killed as it did not answer in time"
            )
        code, printed, narration = json.loads(answer)
        return code, printed, narration

    def _start(self) -> subprocess.Popen[str]:
        """In a session of its own, so that it can be ended with everything that its forks started."""
        return subprocess.Popen(
            self._command,
            cwd=self._root,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """End it. It also ends with the process that started it, which closes its stdin."""
        try:
            self._process.communicate(timeout=60)
        finally:
            self._kill()


def serve(modules: Sequence[str]) -> None:
    """Run a program for each line of stdin. In the process that forks, this returns at the end of stdin; a fork leaves it by the
    SystemExit of its program."""
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
    """Run a program as ``python`` would. Raises SystemExit, and does not call ``os._exit``, so that ``atexit`` functions run."""
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
