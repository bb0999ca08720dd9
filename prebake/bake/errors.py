"""The errors of the stages, and how one gets from a stage's process to the builder's: as ``error.json``
(``prebake.documents.stage_error``)."""

from __future__ import annotations

from prebake.documents.stage_error import StageError
from prebake.errors import (
    InputProblems,
    LibraryMissing,
    PrebakeError,
    SettingsInvalid,
    SpecInvalid,
    SystemPackageError,
    UnsafePickle,
)


class BakeError(PrebakeError):
    """``export.py`` asks for something that cannot be baked, such as an unknown component, a module that torch
    cannot export, or an execution provider that the stage lacks."""

    exit_code = 25


class GraphRefused(BakeError):
    """A published graph cannot be served as it is (the message lists every reason: operators, opset, missing files,
    types that JSON lacks), answers differently at each run, or runs on no generated input."""

    exit_code = 15


class WeightsError(PrebakeError):
    """A weight file is damaged, cut short, or of another format than its name says; or networks in torch and their
    weights do not match (the message lists each tensor)."""

    exit_code = 34


class ParityFailed(InputProblems):
    """The answers of a baked graph differ from the framework's, or inputs padded to a shape bucket give other
    answers than the same inputs without padding. The message lists component, case, bucket, output, difference and
    axis."""

    exit_code = 42


_KINDS: tuple[type[PrebakeError], ...] = (
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
"""The errors that the builder raises as the stage did. Any other that ends a stage is a BuildFailed with the end of its log."""


def format_error(error: PrebakeError) -> str:
    """The error as a stage prints it for people."""
    return f"error: {error.message}\n  next: {error.next_action}"


def to_document(error: PrebakeError) -> StageError:
    """The error as a stage hands it to the builder."""
    kind = type(error).__name__
    if isinstance(error, InputProblems):
        return StageError(kind, error.summary, error.next_action, error.problems)
    return StageError(kind, error.message, error.next_action)


def from_document(document: StageError | None, exit_code: int | None) -> PrebakeError | None:
    """The stage's error, from its document and the exit code of its process. None if there is no document, or if the process
    ended with a code that no error of a stage has: its log says more then."""
    if document is None:
        return None
    kind = next((kind for kind in _KINDS if kind.__name__ == document.kind), None)
    if kind is None or kind.exit_code != exit_code:  # a subclass that a model's export.py defines has its parent's code
        kind = next((kind for kind in _KINDS if kind.exit_code == exit_code), None)
    if kind is None:
        return None
    if issubclass(kind, InputProblems):
        return kind(document.message, document.problems, next_action=document.next_action)
    lines = [document.message, *(f"  {problem}" for problem in document.problems)]
    return kind("\n".join(lines), next_action=document.next_action)
