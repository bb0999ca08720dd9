"""This project's Python on an older x86 processor: with AVX2 and FMA, without AVX-512 and VNNI.

Debian's qemu-user emulates it on any x86-64 machine, one program at a time. ONNX Runtime chooses its kernels by ``cpuid``, which
none of its settings overrides. Emulation is some ten times slower than the machine, and importing torch alone takes ten seconds,
so that what runs in it should be small.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from prebake.bootstrap import debian_packages
from prebake.io import subprocesses
from prebake.io.cache_folder import cache_folder
from prebake.io.file_lock import hold_lock
from prebake.io.log import log_to_stderr
from tests.support.repository import ROOT

_MODEL = "Haswell"
_PROGRAM = "qemu-x86_64-static"
_SUITE = "bookworm"


@dataclass(frozen=True)
class OlderProcessor:
    """``program``: qemu's."""

    program: Path

    def python(self, *words: str | Path, seconds: float = 600) -> str:
        """Run this Python with ``words``, from the root of the checkout, and give what it printed. Raises CommandFailed."""
        command = [self.program, "-cpu", _MODEL, sys.executable, *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocesses.run(command, cwd=ROOT, env=environment, timeout=seconds).stdout


def older_processor() -> OlderProcessor:
    """Its program, fetched once into the cache; of Debian's package the rest, programs for other machines, is dropped."""
    if platform.machine() != "x86_64":
        pytest.skip("an x86 processor is emulated on x86 alone")
    program = cache_folder() / "tests" / "older-processor" / _PROGRAM
    with hold_lock(program.parent.with_suffix(".lock")):
        if not program.exists():
            program.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="qemu-", dir=program.parent) as folder:
                debian_packages.unpack(["qemu-user-static"], Path(folder), log_to_stderr, suite=_SUITE)
                shutil.move(Path(folder, "usr/bin", _PROGRAM), program)
    return OlderProcessor(program)
