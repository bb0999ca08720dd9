"""Every error Prebake raises on purpose: what happened, where, and what to do next.

A class owns its exit code. One place, ``prebake.cli``, catches them and prints; nothing else may swallow one.
Codes 1 and 2 are left to Python and argparse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import prebake


class PrebakeError(Exception):
    """Something that the person at the terminal can act on."""

    exit_code: ClassVar[int] = 10

    def __init__(self, message: str, *, next_action: str) -> None:
        super().__init__(message)
        self.message = message
        self.next_action = next_action


def newer_schema(found: object, known: int) -> str:
    """What to say of a file whose schema number is above the newest that this version knows; empty if it is not."""
    if isinstance(found, bool) or not isinstance(found, int) or found <= known:
        return ""
    return f"is written for a newer Prebake: schema {found}; this one ({prebake.__version__}) reads up to {known}"


@dataclass(frozen=True)
class Problem:
    """One fault of one input: where it stands, what is wrong, what may have been meant."""

    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.hint})" if self.hint else "")


class InputProblems(PrebakeError):
    """Every fault of an input at once."""

    def __init__(self, message: str, problems: Sequence[Problem], *, next_action: str) -> None:
        super().__init__("\n".join([message, *(f"  {problem}" for problem in problems)]), next_action=next_action)
        self.problems = tuple(problems)


class UnknownImage(PrebakeError):
    """No ``images/<name>/`` of that name."""

    exit_code = 11


class SpecInvalid(InputProblems):
    """``image.yaml`` does not say what can be built."""

    exit_code = 12


class LockMismatch(InputProblems):
    """``weights.lock`` and ``image.yaml`` disagree, or the lock is missing or unreadable."""

    exit_code = 13


class LicenceRequired(PrebakeError):
    """The checkpoint's licence has to be accepted first."""

    exit_code = 14


class EngineUnavailable(PrebakeError):
    """No Docker Engine answers."""

    exit_code = 20


class EngineError(PrebakeError):
    """The Engine answered, and refused."""

    exit_code = 21


class BaseImageError(PrebakeError):
    """No base image could be had."""

    exit_code = 22


class BuildFailed(PrebakeError):
    """An instruction of the build failed; with all that it printed and the exit code of its program, where it had one."""

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
    """The builder that BUILDX_BUILDER names is not there, or cannot build for this Engine."""

    exit_code = 49


class NoRoom(PrebakeError):
    """Not enough room on a disk."""

    exit_code = 24


class SourceError(PrebakeError):
    """A checkpoint's source answered with something that cannot be used."""

    exit_code = 30


class NoNetwork(PrebakeError):
    """A checkpoint's source cannot be reached."""

    exit_code = 31


class ChecksumMismatch(PrebakeError):
    """Bytes are not those that the lock pins."""

    exit_code = 32


class UnsafePickle(PrebakeError):
    """A checkpoint's pickle holds code."""

    exit_code = 33


class LibraryMissing(PrebakeError):
    """A Python package of the image needs a system library that the image lacks."""

    exit_code = 35


class SystemPackageError(PrebakeError):
    """A Debian package that image.yaml names by ``system`` cannot be found, pinned or downloaded."""

    exit_code = 39


class StartFailed(PrebakeError):
    """The built image did not become ready."""

    exit_code = 40


class AnswerDiffers(PrebakeError):
    """The built image answers otherwise than the reference."""

    exit_code = 41


class Busy(PrebakeError):
    """Another build of the same image is running."""

    exit_code = 50


class PathRefused(PrebakeError):
    """A file system is read-only, or lets this user not do what has to be done."""

    exit_code = 51


class Interrupted(PrebakeError):
    """Stopped by Ctrl-C or a signal. The code is the shell's for SIGINT."""

    exit_code = 130
