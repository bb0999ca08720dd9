"""``prebake`` as the steps run it: its errors become annotations on the lines that are wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.action.github.log import annotate, without_commands
from tools.action.settings import Settings, read_json

if TYPE_CHECKING:
    from prebake.errors import PrebakeError

_MOST_ANNOTATIONS = 10
"""GitHub shows as many errors of a step."""


@dataclass(frozen=True)
class Ended:
    """``error`` is the document that Prebake wrote about its error; empty if it ended well."""

    exit_code: int
    stdout: str
    error: Mapping[str, Any]


def run_prebake(settings: Settings, *words: str, capture: bool = False) -> Ended:
    """Run a command of Prebake. With ``capture`` its result is returned, otherwise it goes to the log."""
    error_file = settings.file("error.json")
    error_file.unlink(missing_ok=True)
    command = [_program(), *words]
    print(f"$ prebake {' '.join(map(repr, words))}", file=sys.stderr, flush=True)
    with without_commands():
        done = subprocess.run(
            command,
            env={**os.environ, "PREBAKE_ERROR_FILE": str(error_file)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if capture else None,
            text=True,
            check=False,
        )
    return Ended(done.returncode, done.stdout or "", read_json(error_file))


def annotate_error(settings: Settings, ended: Ended, *, accepted: Sequence[int] = ()) -> int:
    """Annotate the error, if there is one, and return the exit code. The codes of ``accepted`` are no errors here."""
    if ended.exit_code == 0 or ended.exit_code in accepted:
        return ended.exit_code
    name, error = f"prebake: {ended.error.get('error', 'error')} ({ended.exit_code})", ended.error
    problems = list(error.get("problems") or ())
    located = [problem for problem in problems if problem.get("file")]
    for problem in located[:_MOST_ANNOTATIONS]:
        hint = f" ({problem['hint']})" if problem.get("hint") else ""
        message = f"{problem.get('where', '')}: {problem.get('what', '')}{hint}"
        place = path_in_workspace(settings, str(problem["file"]))
        annotate("error", message, title=name, file=place, line=int(problem.get("line") or 0))
    if len(located) < len(problems) or not problems or len(located) > _MOST_ANNOTATIONS:
        message = str(error.get("message") or f"prebake ended with {ended.exit_code}; the log above says why.")
        action = f"\nnext: {error['next_action']}" if error.get("next_action") else ""
        annotate("error", message + action, title=name)
    return ended.exit_code


def annotate_raised(error: PrebakeError, *, title: str) -> int:
    """Annotate an error of Prebake's code that a step called itself, and return its exit code."""
    annotate("error", f"{error.message}\nnext: {error.next_action}", title=title)
    return error.exit_code


def path_in_workspace(settings: Settings, file: str) -> str:
    """A file that Prebake names, relative to the checkout, as GitHub looks for it. Relative paths begin at the project."""
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or settings.project).resolve()
    path = (Path(settings.project) / file).resolve()
    return path.relative_to(workspace).as_posix() if path.is_relative_to(workspace) else path.as_posix()


def _program() -> str:
    """The program that ``install.sh`` installed (PREBAKE_BIN), else the one on PATH."""
    folder = os.environ.get("PREBAKE_BIN")
    return str(Path(folder) / "prebake") if folder else "prebake"
