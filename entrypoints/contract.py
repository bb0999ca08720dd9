"""The port between the server and a model: what ``images/<name>/model.py`` implements and may use.

A model module defines ``create(components: Components) -> Model``. The server calls it once, in a thread, as soon as
the manifest is read. Sessions may still be opening then; ``Components.session`` waits for the requested one.

Modules that are imported before ready use named tuples for values: each frozen dataclass adds 0.8 ms to every start.
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
    """One part of a ``POST /generate`` form. ``maximum`` is in characters for a text, in bytes for a file."""

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
    """The request cannot be answered because of an error of the client. The text says what is wrong and what to send instead."""

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
    """The shapes that a session accepts, smallest first, as the longest lengths by axis, if ``image.yaml`` gives its component
    buckets and rejects inputs outside of them. Empty if it accepts every shape of its graph, as in tests.

    ``run`` raises BadRequest for inputs that no bucket holds. A model can check here earlier, with a message of its own.
    """
    limits: Sequence[Mapping[str, int]] = getattr(session, "limits", ())
    return limits


class Components(Protocol):
    """The content of the image for the model."""

    def session(self, name: str) -> Session:
        """The component's session; waits until it is open. Raises KeyError if the manifest has no such component."""

    def path(self, name: str) -> Path:
        """A file of the image by its manifest path, such as ``clap/tokenizer.json``."""


class Network(NamedTuple):
    """A component as torch serves it: the result of ``build(component, config)`` in ``model_torch.py``.

    ``build`` is called with torch's default device set to meta, and with the content of the component's ``config.json``. It must
    create tensors that no weight file has (usually tables of frequencies) under ``torch.device("cpu")``; they keep their type.
    """

    module: torch.nn.Module
    """Its ``forward`` takes the component's inputs by name (float32, unless they are whole numbers) and returns its outputs."""
    weights: torch.nn.Module
    """The part of ``module`` whose tensors have the names of the weight files."""
    outputs: tuple[str, ...]
    rename: Callable[[str], str | None] = str
    """Maps the name of a published tensor to its name in ``weights``; None if ``weights`` does not need the tensor."""
    blocks: tuple[torch.nn.Module, ...] = ()
    """The parts of ``module`` that do most of the work. Artifacts that were compiled for this machine compute them."""


class Model(Protocol):
    """A model ready to answer."""

    @property
    def fields(self) -> Sequence[Field]: ...

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        """Answer one request.

        ``form`` has every field by name, converted and within its limits: ``bytes`` for a file, ``str``, ``int``,
        ``float``. A field that the client left out has its default, or is missing if it has none. Called from a worker
        thread. Raises BadRequest for errors that only the model can see, Cancelled when ``cancelled()`` became true. It may
        report its progress by ``report_progress(cancelled, step, steps)``.
        """


class Cancellation(Protocol):
    """True once nobody needs the answer any more."""

    def __call__(self) -> bool: ...


class Progress(Cancellation, Protocol):
    """The server's ``cancelled``: it also receives the progress of the work."""

    def report(self, step: int, steps: int, message: str = "") -> None: ...


def report_progress(cancelled: Cancellation, step: int, steps: int, message: str = "") -> None:
    """Report to a listening client that ``step`` of ``steps`` are done. May be called from any thread; cheap if nobody listens.

    Does nothing if ``cancelled`` is a plain function, as in tests.
    """
    report = getattr(cancelled, "report", None)
    if report is not None:
        report(step, steps, message)
