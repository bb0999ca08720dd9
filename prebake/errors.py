"""The errors that Prebake raises: each says what happened, to what, and what to do.

A class owns its exit code. ``prebake.cli`` alone catches and prints them. Python and argparse use the codes 1 and 2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import prebake


class PrebakeError(Exception):
    """The base class of all errors that a user can act on. Prebake never raises it itself.

    ``next_action`` is a sentence without its capital and its full stop.
    """

    exit_code: int = 10

    def __init__(self, message: str, *, next_action: str) -> None:
        super().__init__(message)
        self.message = message
        self.next_action = next_action


def newer_schema(schema: object, known: int) -> str:
    """The problem of a file whose schema number is above ``known``, the newest that this version reads; else empty."""
    if isinstance(schema, bool) or not isinstance(schema, int) or schema <= known:
        return ""
    return f"was written for a newer Prebake: schema {schema}; this version ({prebake.__version__}) reads up to {known}"


def older_schema(schema: object, present: int) -> str:
    """The problem of a file whose schema number is below ``present``, the one that this version reads; else empty."""
    if isinstance(schema, bool) or not isinstance(schema, int) or not 1 <= schema < present:
        return ""
    return f"has schema {schema}; this version of Prebake ({prebake.__version__}) reads schema {present}"


_FILE_PLACE = re.compile(r"(?P<file>images/[^/:\s]+/[^:\s]+)(?::(?P<line>[0-9]+)(?!\S))?")


@dataclass(frozen=True)
class Problem:
    """One fault of an input: its place, the fault, and a hint such as a name that may have been meant.

    For a file of an image, ``where`` begins with its path in the project, and with the line if it is known:
    ``images/NAME/image.yaml:LINE FIELD``.
    """

    where: str
    what: str
    hint: str = ""

    @property
    def file(self) -> str | None:
        """The file's path, relative to the project's root; None if the fault is not in a file of an image."""
        return found["file"] if (found := _FILE_PLACE.match(self.where)) else None

    @property
    def line(self) -> int | None:
        """The line in ``file``, from 1; None if it is not known."""
        found = _FILE_PLACE.match(self.where)
        return int(found["line"]) if found and found["line"] else None

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.hint})" if self.hint else "")


class InputProblems(PrebakeError):
    """The base class of errors that list every problem of an input. Prebake never raises it itself.

    ``summary`` is the message without the problems.
    """

    def __init__(self, message: str, problems: Sequence[Problem], *, next_action: str) -> None:
        super().__init__("\n".join([message, *(f"  {problem}" for problem in problems)]), next_action=next_action)
        self.summary = message
        self.problems = tuple(problems)


class UnknownImage(PrebakeError):
    """The project has no ``images/NAME/image.yaml`` of this name, the command names no image, or no project was
    found from this folder upwards. The message lists the folders that were searched."""

    exit_code = 11


class SpecInvalid(InputProblems):
    """``image.yaml`` has problems (the message lists all, by line and field), was written for a newer Prebake,
    lacks its code, or does not have this target. The compile stage raises it too, if shape buckets do not fit the
    graphs."""

    exit_code = 12


class LockMismatch(InputProblems):
    """``weights.lock`` is missing, cannot be read, or does not match ``image.yaml``; or the checkpoint does not
    exist."""

    exit_code = 13


class SchemaOutdated(InputProblems):
    """``image.yaml`` or ``weights.lock`` has an earlier schema, whose keys have other names. ``prebake upgrade
    --check`` raises it if it finds such a file."""

    exit_code = 66

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("Files of the project have an earlier schema:", problems, next_action="run `prebake upgrade`")


class UpgradeRefused(InputProblems):
    """``prebake upgrade`` cannot rewrite a file; then it changes none. The message lists every problem of every
    file, by line."""

    exit_code = 67


class LicenseRequired(PrebakeError):
    """The checkpoint's license asks for acceptance, and you have not accepted it."""

    exit_code = 14


class EngineUnavailable(PrebakeError):
    """No Docker Engine answers, the docker command or its buildx plugin is missing, or a private Engine could not
    be started."""

    exit_code = 20


class EngineError(PrebakeError):
    """The Docker Engine refused a request: for example, it has no such image, the image has no such file, or it
    cannot run the container."""

    exit_code = 21


class BaseImageError(PrebakeError):
    """The base image cannot be pulled or made, or its registry does not give its digest."""

    exit_code = 22


class BuildFailed(PrebakeError):
    """An instruction of the build failed. The message has the instruction and its last lines.

    ``output`` is all that it printed; ``status`` its program's exit code, if it ran one.
    """

    exit_code = 23

    def __init__(
        self,
        message: str,
        *,
        next_action: str,
        instruction: str = "",
        output: Sequence[str] = (),
        status: int | None = None,
    ) -> None:
        super().__init__(message, next_action=next_action)
        self.instruction = instruction
        self.output = tuple(output)
        self.status = status


class BuilderUnfit(PrebakeError):
    """The builder that ``BUILDX_BUILDER`` names does not exist, or it is the built-in builder of another Engine."""

    exit_code = 49


class NoRoom(PrebakeError):
    """A disk has too little free space, before the work or during it. The message has the needed and the free size."""

    exit_code = 24


class SourceError(PrebakeError):
    """A checkpoint's source lacks a file, denies access or gave an answer that cannot be used, ``sample.py``
    failed, or ``--render`` names a folder that contains other files."""

    exit_code = 30


class NoNetwork(PrebakeError):
    """A checkpoint's source cannot be reached."""

    exit_code = 31


class ChecksumMismatch(PrebakeError):
    """Bytes do not match the digest that the lock or their name gives. The message has the file, the expected and
    the found digest; Prebake keeps no wrong bytes."""

    exit_code = 32


class UnsafePickle(PrebakeError):
    """A checkpoint's pickle file refers to code, which the message names. None of it was run."""

    exit_code = 33


class LibraryMissing(PrebakeError):
    """A Python package cannot be imported because the image lacks a system library (such as ``libGL.so.1``). The
    message has each library, the package that needs it, and the Debian package that contains it."""

    exit_code = 35


class SystemPackageError(PrebakeError):
    """A package of ``system_packages`` in image.yaml is not in the base image's Debian release, apt could not be
    asked, or no archive has the pinned version any more."""

    exit_code = 39


class ContainerError(PrebakeError):
    """The base class of errors of a built image that does not serve. Prebake never raises it itself.

    ``details`` are those of each fault that its server logged (``entrypoints.errors.Fault.details``).
    """

    def __init__(self, message: str, *, next_action: str, details: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message, next_action=next_action)
        self.details = tuple(details)


class StartFailed(ContainerError):
    """A container of the built image ended, or was not ready in time. The message has the last lines of its log."""

    exit_code = 40


class AnswerDiffers(ContainerError):
    """The built image's answer differs from the framework's reference answer."""

    exit_code = 41


class ContainerEnded(ContainerError):
    """``prebake run``: the container ended by itself. The exit code is the container's, and the message has the reason that
    its server logged."""

    def __init__(self, message: str, *, exit_code: int, next_action: str) -> None:
        super().__init__(message, next_action=next_action)
        self.exit_code = exit_code


class NotBuilt(PrebakeError):
    """``prebake run``: the Engine does not have the image. The message has its name."""

    exit_code = 57


class Busy(PrebakeError):
    """Another build of the same image runs in this clone, or a build uses the store that is to be pruned."""

    exit_code = 50


class PathRefused(PrebakeError):
    """A file or folder is on a read-only file system, or this user may not use it. The message names it."""

    exit_code = 51


class Interrupted(PrebakeError):
    """Ctrl-C or SIGTERM stopped the command.

    The exit code is that of shells for SIGINT.
    """

    exit_code = 130


class SettingsInvalid(InputProblems):
    """``settings.json``, which the plan writes for the stages, is not valid."""

    exit_code = 26


class PackageMissing(PrebakeError):
    """The Python that runs `build.py` or `prebake` lacks a package which Prebake needs."""

    exit_code = 68
