"""The files and the log lines by which a step talks to GitHub Actions: outputs, summary, annotations."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

SUMMARY_BYTES = 1024 * 1024
"""The largest summary of a step (docs.github.com, "Adding a job summary")."""
_CUT = "\n\n… the rest does not fit here; the artifact of this run has all of it.\n"
_ERRORS = "backslashreplace"
"""For characters that an encoding does not have."""


def set_output(name: str, value: object) -> None:
    """Give an output of this step. A random delimiter keeps a value with line breaks from giving further outputs."""
    text, delimiter = str(value), f"end_{secrets.token_hex(16)}"
    path = os.environ.get("GITHUB_OUTPUT")
    if not path:
        print(f"output {name}: {text}", file=sys.stderr)
        return
    with Path(path).open("a", encoding="utf-8", errors=_ERRORS) as file:
        file.write(f"{name}<<{delimiter}\n{text}\n{delimiter}\n")


def add_summary(text: str) -> None:
    """Append Markdown to the job's summary; without one, print it."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        show(text)
        return
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(cut(text, SUMMARY_BYTES) + "\n")


def cut(text: str, size: int) -> str:
    """``text`` in at most ``size`` bytes of UTF-8. A shortened text says that it is one."""
    text = text.encode(errors=_ERRORS).decode()
    if len(text.encode()) < size:
        return text
    kept = text.encode()[: size - len(_CUT.encode()) - 1].decode(errors="ignore")
    return kept.rpartition("\n")[0] + _CUT if "\n" in kept else kept + _CUT


def annotate(
    level: Literal["error", "warning", "notice"], message: str, *, title: str = "", file: str = "", line: int = 0
) -> None:
    """Print an annotation, which GitHub shows on the line of the file if they are given."""
    named = {"file": file, "line": str(line) if file and line else "", "title": title}
    properties = ",".join(f"{name}={_escape_property(value)}" for name, value in named.items() if value)
    _print(f"::{level}{' ' if properties else ''}{properties}::{_escape(message)}")


def show(text: str) -> None:
    """Print a text that has names of others, such as those of modules in a container. The runner obeys no command in it."""
    with without_commands():
        _print(text)


def _print(text: str) -> None:
    """Characters that the log cannot have are escaped: names of files may not be UTF-8, and the locale may be another one."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, _ERRORS).decode(encoding), flush=True)


def _escape(text: str) -> str:
    """As the runner reads it back (actions/toolkit, ``packages/core/src/command.ts``)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")


@contextmanager
def without_commands() -> Iterator[None]:
    """Inside the block, the runner obeys no command in the log: what is printed may come from a model or from a container."""
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}", flush=True)
    try:
        yield
    finally:
        print(f"::{token}::", flush=True)
