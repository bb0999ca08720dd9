"""``python build.py …`` in a fork of a process that has imported the command: one such process for each process of tests."""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock

import prebake
from tests.support.processes.forking_python import ForkingPython, Program
from tests.support.repository import ROOT

PARTS = ("build.py", "prebake", "entrypoints", "templates")
"""What a clone has of the checkout, beside images."""
_NOT_IMPORTED = (
    "prebake.bake",  # its stages import torch, which starts threads
    "prebake.checkpoints.sources.huggingface",  # huggingface_hub reads the environment when it is imported
    "prebake.checkpoints.sources.xet",  # the same
    "prebake.workflow.init.recognizers.onnx_components",  # numpy and ONNX Runtime start threads
)
_AT_START = ("PYTHON", "LD_", "LC_", "LANG")
"""Beginnings of the variables that a process reads when it starts."""
_busy = Lock()


def run_warm(root: Path, words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str] | None:
    """Exit code, stdout and stderr; None if this takes a process of its own: the code in ``root`` is not the checkout's, the
    environment has other variables that Python reads when it starts, coverage is measured, or another thread runs a command."""
    if not _starts_alike(environment) or "COVERAGE_PROCESS_CONFIG" in os.environ or not has_own_code(root):
        return None
    if not _busy.acquire(blocking=False):
        return None
    try:
        return warm_process().run(Program(["build.py", *words], str(root), environment))
    finally:
        _busy.release()


def has_own_code(root: Path) -> bool:
    """The clone at ``root`` has the files that the checkout has, as they were copied."""
    return _states(root) == _own_states()


@cache
def _own_states() -> dict[str, tuple[int, int]]:
    return _states(ROOT)


def _states(root: Path) -> dict[str, tuple[int, int]]:
    """Size and modification time of each file, by its path. Bytecode may differ."""
    folders = [entry for part in PARTS for entry in os.walk(root / part)]
    files = [os.path.join(folder, name) for folder, _, names in folders for name in names]  # noqa: PTH118 (os.walk is several times faster than Path.rglob)
    states = {path: os.stat(path) for path in [*files, str(root / "build.py")] if not path.endswith(".pyc")}  # noqa: PTH116
    return {path[len(str(root)) :]: (state.st_size, state.st_mtime_ns) for path, state in states.items()}


def _starts_alike(environment: Mapping[str, str]) -> bool:
    def read_at_start(variables: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in variables.items() if name.startswith(_AT_START)}

    return read_at_start(environment) == read_at_start(os.environ)


@cache
def warm_process() -> ForkingPython:
    names = (module.name for module in pkgutil.walk_packages(prebake.__path__, "prebake.", onerror=lambda _: None))
    return ForkingPython([name for name in names if not name.startswith(_NOT_IMPORTED)], ROOT, os.environ)
