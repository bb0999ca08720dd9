"""What the programs of long runs share: flags, the image, the removal of what they made, and the section that they print."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from prebake.docker.connection import Connection, ensure_engine, read_versions
from prebake.docker.containers.containers import remove_strays
from prebake.docker.containers.owners import owner_label
from prebake.errors import PrebakeError
from prebake.io.log import log_to_stderr
from tests.long import section
from tests.long.section import Outcome, note_circumstances
from tests.support.commands.built_images import build_image

INTERRUPTED = 130
"""The exit code after SIGINT or SIGTERM, as of a shell; 1: the run found something."""

Measure = Callable[[argparse.Namespace, Connection, Path], Outcome]
"""Gets the options, the Engine, and a folder that is removed after the run."""


def add_image_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="minilm", help="the model whose image is built for the run (default: minilm)"
    )
    parser.add_argument("--image", help="run this image of the Engine instead, and build none")


def run_program(name: str, parser: argparse.ArgumentParser, measure: Measure, words: Sequence[str] | None) -> int:
    """Run to the end, and print the section. Returns the exit code."""
    words = list(sys.argv[1:] if words is None else words)
    parser.add_argument("--note", default="", help="a sentence about the machine for the section")
    parser.add_argument(
        "--write",
        type=Path,
        nargs="?",
        const=section.PAGE,
        metavar="PAGE",
        help="put the section into docs/measurements/long-runs.md, or into this file",
    )
    options = parser.parse_args(words)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        engine = ensure_engine()
        command = shlex.join(["python", "-m", f"tests.long.{name}", *without_page(words)])
        about = note_circumstances(command, read_versions(engine).engine, options.note)
        with _own_folder(engine) as folder:
            outcome = measure(options, engine, folder)
    except KeyboardInterrupt:
        print(f"{name}: interrupted; its containers, images and files are removed", file=sys.stderr)
        return INTERRUPTED
    except PrebakeError as error:
        print(f"error: {error.message}\n  next: {error.next_action}", file=sys.stderr)
        return error.exit_code
    text = section.render(about, outcome)
    print(text)
    if options.write:
        section.write(options.write, name, text)
    return 1 if outcome.findings else 0


@contextmanager
def image_of(options: argparse.Namespace, engine: Connection, folder: Path) -> Iterator[str]:
    """The image to run: built in a clone and removed at the end, or the one that ``--image`` names."""
    if options.image:
        yield options.image
        return
    log_to_stderr(f"building the image of {options.model}")
    with build_image(engine, folder, options.model) as built:
        yield built.tag


@contextmanager
def _own_folder(engine: Connection) -> Iterator[Path]:
    """A folder for all temporary files of this process. At the end of the block it is removed, and so are the containers that
    this process started."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="prebake-long-") as name:
        tempfile.tempdir = str(Path(name, "temporary"))
        Path(tempfile.tempdir).mkdir()
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before
            remove_strays(engine, owner=owner_label(os.getpid()))


def without_page(words: Sequence[str]) -> list[str]:
    """A run's flags without ``--write`` and ``--note``: they are no parameters of the run."""
    kept, skip = [], False
    for word in words:
        if word in ("--write", "--note"):
            skip = True
        elif not skip or word.startswith("--"):
            kept.append(word)
            skip = False
        else:
            skip = False
    return kept


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that each block removes what it made."""
    raise KeyboardInterrupt(signal.Signals(number).name)
