"""This project's Python on an older x86 processor: with AVX2 and FMA, without AVX-512 and VNNI.

Debian's qemu-user emulates it on any x86-64 machine, one program at a time. ONNX Runtime chooses its kernels by ``cpuid``, which
none of its settings overrides. Emulation is some ten times slower than the machine, and importing torch alone takes ten seconds,
so that what runs in it should be small, and all programs share one process of imports.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from prebake.bootstrap import debian_packages
from prebake.io.cache_folder import cache_folder
from prebake.io.file_lock import hold_lock
from prebake.io.log import log_to_stderr
from tests.support.processes.forking_python import ForkingPython, Program
from tests.support.repository import ROOT

_MODEL = "Haswell"
_PROGRAM = "qemu-x86_64-static"
_SUITE = "bookworm"
_MODULES = ("prebake.bake.stages.compile_graphs", "tests.support.bake.answers")


class OlderProcessor:
    """One emulated process: it imports what the programs need once, and runs each program in a fork of itself."""

    def __init__(self, process: ForkingPython) -> None:
        self._process = process

    def python(self, *words: str | Path, seconds: int = 600) -> str:
        """Run this Python with ``words``, from the root of the checkout, and give what it printed."""
        code, printed, narration = self._process.run(Program([str(word) for word in words], seconds=seconds))
        assert code == 0, f"{words}: ended with {code}\n{printed}\n{narration}"
        return printed


@contextmanager
def older_processor() -> Iterator[OlderProcessor]:
    """An emulated process, which ends with the block."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = ForkingPython(_MODULES, ROOT, environment, before=[str(_program()), "-cpu", _MODEL])
    try:
        yield OlderProcessor(process)
    finally:
        process.close()


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
