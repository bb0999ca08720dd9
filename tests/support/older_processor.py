"""This project's Python on an older x86 processor: with AVX2 and FMA, without AVX-512 and VNNI.

Debian's qemu-user emulates it on any x86-64 machine, one program at a time. ONNX Runtime chooses its kernels by ``cpuid``, which
none of its settings overrides. Emulation is some ten times slower than the machine, and importing torch alone takes ten seconds,
so that what runs in it should be small, and all programs share one process of imports.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from prebake.bootstrap import debian_packages
from prebake.io.cache_folder import cache_folder
from prebake.io.file_lock import hold_lock
from prebake.io.log import log_to_stderr
from tests.support.repository import ROOT

_MODEL = "Haswell"
_PROGRAM = "qemu-x86_64-static"
_SUITE = "bookworm"
_SERVER = ROOT / "tests/support/bake/forking_python.py"
_MODULES = ("prebake.bake.stages.compile_graphs", "tests.support.bake.answers")


class OlderProcessor:
    """One emulated process: it imports what the programs need once, and runs each program in a fork of itself."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def python(self, *words: str | Path, seconds: float = 600) -> str:
        """Run this Python with ``words``, from the root of the checkout, and give what it printed."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        watch = Timer(seconds, self._process.kill)
        watch.start()
        try:
            stdin.write(json.dumps([str(word) for word in words]) + "\n")
            stdin.flush()
            answer = stdout.readline()
        finally:
            watch.cancel()
        assert answer, f"{words}: the emulated process ended, or did not answer within {seconds:g} s"
        code, printed, narration = json.loads(answer)
        assert code == 0, f"{words}: ended with {code}\n{printed}\n{narration}"
        return str(printed)


@contextmanager
def older_processor() -> Iterator[OlderProcessor]:
    """An emulated process, which ends with the block."""
    command: list[str | Path] = [_program(), "-cpu", _MODEL, sys.executable, _SERVER, *_MODULES]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield OlderProcessor(process)
        process.communicate(timeout=60)  # it ends with its stdin
    finally:
        process.kill()
        process.communicate()


def _program() -> Path:
    """qemu's program, fetched once into the cache; of Debian's package the rest, programs for other machines, is dropped."""
    if platform.machine() != "x86_64":
        pytest.skip("an x86 processor is emulated on x86 alone")
    program = cache_folder() / "tests" / "older-processor" / _PROGRAM
    with hold_lock(program.parent.with_suffix(".lock")):
        if not program.exists():
            program.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="qemu-", dir=program.parent) as folder:
                debian_packages.unpack(["qemu-user-static"], Path(folder), log_to_stderr, suite=_SUITE)
                shutil.move(Path(folder, "usr/bin", _PROGRAM), program)
    return program
