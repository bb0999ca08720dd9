"""Import modules one by one, each in a process of its own, and check which of their names can be imported.

The top-level import alone proves little: scipy, librosa, scikit-image and many others import their parts when a name is first
asked for (PEP 562). So every public name is asked for, too.

    python3 -S trials.py MODULE        prints a line of JSON
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SECONDS = 600
_MANY = (
    1000  # a package with more names than that makes each from a table; asking for all would import all of its models
)
_MARK = "prebake-trial: "


@dataclass(frozen=True)
class Outcome:
    """``error`` is empty if the module imports; ``names`` are its importable names; ``refused`` says why others fail."""

    error: str = ""
    names: tuple[str, ...] = ()
    refused: Mapping[str, str] | None = None

    @property
    def errors(self) -> list[str]:
        return [self.error, *(self.refused or {}).values()] if self.error or self.refused else []


@dataclass(frozen=True)
class Trial:
    """How modules of ``tree`` are imported: as in the image, with its environment, by its user (None: whoever runs this).
    ``bytecode`` is a folder outside the tree: modules are compiled once for all trials, and the tree stays as it is."""

    tree: Path
    environment: Mapping[str, str]
    bytecode: Path
    user: int | None = None

    def run(self, modules: Iterable[str]) -> dict[str, Outcome]:
        names = sorted(set(modules))
        self.bytecode.chmod(0o1777)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return dict(zip(names, pool.map(self._one, names), strict=True))

    def _one(self, module: str) -> Outcome:
        path = os.environ.get("PATH", os.defpath)
        environment = {"PATH": path, **self.environment, "PYTHONPATH": str(self.tree)}
        environment |= {"PYTHONPYCACHEPREFIX": str(self.bytecode), "PYTHONDONTWRITEBYTECODE": ""}
        command = [sys.executable, "-S", str(Path(__file__).resolve()), module]
        limits = {"cwd": "/", "timeout": _SECONDS, "env": environment, **self._identity}
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", **limits)  # noqa: S603
        except subprocess.TimeoutExpired:
            return Outcome(f"no end within {_SECONDS} s")
        return _read(done)

    @property
    def _identity(self) -> dict[str, Any]:
        return {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": ()}


def _read(done: subprocess.CompletedProcess[str]) -> Outcome:
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if not lines:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return Outcome(f"Python ended with code {done.returncode}: {last}".rstrip(": "))
    found = json.loads(lines[-1].removeprefix(_MARK))
    return Outcome(found["error"], tuple(found["names"]), found["refused"])


def attempt(module: str) -> Outcome:
    """Import a module here, and ask for its names."""
    try:
        found = importlib.import_module(module)
    except BaseException as error:
        return Outcome(_said(error))
    names, refused = [], {}
    with contextlib.suppress(Exception):
        exec(f"from {module} import *", {})  # noqa: S102
        names.append("*")
    public = {name for name in (*dir(found), *getattr(found, "__all__", ())) if isinstance(name, str)}
    for name in sorted(public) if len(public) <= _MANY else ():
        try:
            getattr(found, name)
        except BaseException as error:
            refused[name] = _said(error)
        else:
            names.append(name)
    return Outcome("", tuple(names), refused)


def _said(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def main(module: str) -> None:
    own = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.path.pop(0)  # this folder is no part of the image
    with contextlib.redirect_stdout(io.StringIO()):
        outcome = attempt(module)
    line = json.dumps({"error": outcome.error, "names": outcome.names, "refused": outcome.refused or {}})
    os.write(own, f"{_MARK}{line}\n".encode())
    os._exit(0)  # without waiting for threads and exit handlers that a module started


if __name__ == "__main__":
    main(sys.argv[1])
