"""What can go wrong in the export and compile stages, and how it reaches the one who started the build.

The stages run inside a build, which knows of a program that failed only what it printed and its exit code.
"""

from __future__ import annotations

from collections.abc import Sequence

from prebake.errors import (
    InputProblems,
    LibraryMissing,
    PrebakeError,
    SpecInvalid,
    SystemPackageError,
    UnsafePickle,
)

_ERROR, _NEXT = "error: ", "  next: "


class BakeError(PrebakeError):
    """A model's export says something that cannot be baked."""

    exit_code = 25


class GraphRefused(BakeError):
    """A published graph that cannot be served as it is, or that runs on no made-up input; every problem of it."""

    exit_code = 15


class SettingsInvalid(InputProblems):
    """``settings.json`` is not what the plan should have written."""

    exit_code = 26


class WeightsError(PrebakeError):
    """A weight file is damaged, or not of the kind its name says."""

    exit_code = 34


class ParityFailed(InputProblems):
    """A baked graph answers otherwise than the framework did."""

    exit_code = 42


_KINDS: dict[int, type[PrebakeError]] = {
    kind.exit_code: kind
    for kind in (
        SpecInvalid,
        BakeError,
        GraphRefused,
        SettingsInvalid,
        UnsafePickle,
        WeightsError,
        ParityFailed,
        LibraryMissing,
        SystemPackageError,
    )
}


def write_error(error: PrebakeError) -> str:
    """The error as a stage prints it."""
    return f"{_ERROR}{error.message}\n{_NEXT}{error.next_action}"


def read_error(output: Sequence[str], exit_code: int | None) -> PrebakeError | None:
    """The stage's error from the lines that it printed and its exit code; None where they tell of none."""
    kind = _KINDS.get(exit_code or 0)
    starts = [number for number, line in enumerate(output) if line.startswith(_ERROR)]
    ends = [number for number, line in enumerate(output) if line.startswith(_NEXT)]
    if kind is None or not starts or not ends or ends[-1] < starts[-1]:
        return None
    message = "\n".join(output[starts[-1] : ends[-1]]).removeprefix(_ERROR)
    next_action = "\n".join(output[ends[-1] :]).removeprefix(_NEXT)
    if issubclass(kind, InputProblems):
        return kind(message, [], next_action=next_action)
    return kind(message, next_action=next_action)
