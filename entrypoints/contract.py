"""The port between the server and a model: what ``images/<name>/model.py`` implements and may use.

A model module defines ``create(components: Components) -> Model``. The server calls it once, in a thread, as soon as
the manifest is read; sessions may still be opening, and ``Components.session`` waits for the one asked for.

What is imported before ready makes its values of named tuples: each frozen dataclass adds 0.8 ms to every start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch

FieldKind = Literal["file", "text", "integer", "number", "choice"]


class Field(NamedTuple):
    """One part of a ``POST /generate`` form. ``maximum`` of a text counts characters, of a file bytes."""

    name: str
    kind: FieldKind
    help: str
    required: bool = False
    default: str | int | float | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


class Answer(NamedTuple):
    """The body of a 200 response."""

    body: bytes
    media_type: str
    headers: Mapping[str, str] = {}


class BadRequest(Exception):
    """The request cannot be answered, through the client's doing. The text says what is wrong and what is right."""

    def __init__(self, message: str, *, field: str | None = None, status: int = 422) -> None:
        super().__init__(message)
        self.field = field
        self.status = status


class Cancelled(Exception):
    """The client went away, or the server drains: stop working on this request."""


class Session(Protocol):
    """An opened graph, or a network in torch: named tensors in and out."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...


def find_limits(session: Session) -> Sequence[Mapping[str, int]]:
    """The shapes that a session takes, smallest first, as the longest lengths by axis, where ``image.yaml`` gives its component
    buckets and nothing outside them; none where it takes whatever its graph does, as in tests.

    ``run`` raises BadRequest for what no bucket holds; a model that looks here can say it sooner, and in its own words.
    """
    limits: Sequence[Mapping[str, int]] = getattr(session, "limits", ())
    return limits


class Components(Protocol):
    """What the image holds for the model."""

    def session(self, name: str) -> Session:
        """The component's session; waits until it is open. Raises KeyError where the manifest has no such component."""

    def path(self, name: str) -> Path:
        """A file of the image by its manifest path, such as ``clap/tokenizer.json``."""


class Network(NamedTuple):
    """A component as torch serves it: what ``build(component, config)`` of ``model_torch.py`` gives.

    ``build`` is called with torch's default device set to meta, and with what the component's ``config.json`` says. What no
    weight file holds (tables of frequencies, as a rule) it makes under ``torch.device("cpu")``; it keeps its type.
    """

    module: torch.nn.Module
    """Its forward takes the component's inputs by name, float32 where they are no whole numbers, and gives its outputs."""
    weights: torch.nn.Module
    """The part of ``module`` whose tensors are called as in the weight files."""
    outputs: tuple[str, ...]
    rename: Callable[[str], str | None] = str
    """What ``weights`` calls a published tensor; None where it has no use for it."""
    blocks: tuple[torch.nn.Module, ...] = ()
    """Parts of ``module`` that do the work, and are computed by what was compiled for this machine."""


class Model(Protocol):
    """A model ready to answer."""

    @property
    def fields(self) -> Sequence[Field]: ...

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        """Answer one request.

        ``form`` holds every field by name, converted and within its limits: ``bytes`` for a file, ``str``, ``int``,
        ``float``; a field left out has its default, or is missing where it has none. Called from a worker thread.
        Raises BadRequest for what only the model can see is wrong, Cancelled when ``cancelled()`` turned true. How far
        it is it may tell by ``report_progress(cancelled, step, steps)``.
        """


class Cancellation(Protocol):
    """True once the answer is of no use to anybody."""

    def __call__(self) -> bool: ...


class Progress(Cancellation, Protocol):
    """What the server passes as ``cancelled``: it hears how far the work is, too."""

    def report(self, step: int, steps: int, message: str = "") -> None: ...


def report_progress(cancelled: Cancellation, step: int, steps: int, message: str = "") -> None:
    """Tell a client that listens: ``step`` of ``steps`` are done. From any thread, and cheap where nobody listens.

    Nothing happens where ``cancelled`` is a plain function, as in tests.
    """
    report = getattr(cancelled, "report", None)
    if report is not None:
        report(step, steps, message)
