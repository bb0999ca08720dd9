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
"""The files and folders of the checkout that every clone has."""
_NOT_IMPORTED = (
    "prebake.bake",  # its stages import torch, which starts threads
    "prebake.checkpoints.sources.huggingface",  # huggingface_hub reads the environment when it is imported
    "prebake.checkpoints.sources.xet",  # the same
    "prebake.workflow.init.recognizers.onnx_components",  # numpy and ONNX Runtime start threads
)
_AT_START = ("PYTHON", "LD_", "LC_", "LANG")
"""Prefixes of the environment variables that Python and the dynamic linker read when a process starts."""
_busy = Lock()


def run_warm(root: Path, words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str] | None:
    """Exit code, stdout and stderr of ``python build.py WORDS`` in ``root``.

    None, and nothing ran, if a fork would not do what a new process does, or cannot: the code in ``root`` is not the checkout's;
    ``environment`` changes a variable that is read when a process starts; coverage is measured, which starts with a process; or
    another thread is running a command."""
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
    """Size and modification time of each file but bytecode, by its path in ``root``."""
    files = [path for part in PARTS for path in (root / part, *(root / part).rglob("*"))]
    states = {path: path.stat() for path in files if path.suffix != ".pyc" and path.is_file()}
    return {str(path.relative_to(root)): (state.st_size, state.st_mtime_ns) for path, state in states.items()}


def _starts_alike(environment: Mapping[str, str]) -> bool:
    def read_at_start(variables: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in variables.items() if name.startswith(_AT_START)}

    return read_at_start(environment) == read_at_start(os.environ)


@cache
def warm_process() -> ForkingPython:
    names = (module.name for module in pkgutil.walk_packages(prebake.__path__, "prebake.", onerror=lambda _: None))
    return ForkingPython([name for name in names if not name.startswith(_NOT_IMPORTED)], ROOT, os.environ)
