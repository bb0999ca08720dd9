"""The port between the server and a model: what ``images/<name>/model.py`` implements and may use.

A model module defines ``create(components: Components) -> Model``. The server calls it once, in a thread, as soon as
the manifest is read. Sessions may still be opening then; ``Components.session`` waits for the requested one.

Modules that are imported before ready use named tuples for values: each frozen dataclass adds 0.8 ms to every start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

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


class Batch(NamedTuple):
    """Says that a model answers requests that wait in the queue together: its attribute ``batch``, beside ``generate_batch``."""

    size: int = 32
    """The most requests of one batch; with ``measure``, the most of their sizes together."""
    wait: float = 0.0
    """Seconds after a batch in which the clients that it answered may ask again, before the next batch begins with fewer requests
    than were in flight. A client that is alone never waits."""
    measure: Callable[[Mapping[str, object]], int] | None = None
    """The size of a request, from its form: for example its number of sentences. A request that is larger than ``size`` is
    answered alone. Called before the request waits in the queue; it may raise BadRequest. Without it, every size is 1."""


class BatchModel(Model, Protocol):
    """A model that can answer several requests at once. It is asked by ``generate`` for a request that is alone."""

    @property
    def batch(self) -> Batch: ...

    def generate_batch(
        self, forms: Sequence[Mapping[str, object]], cancelled: Sequence[Cancellation]
    ) -> Sequence[Answer | Exception]:
        """One answer for each form, in order, as ``generate`` would give it. ``cancelled`` has one function for each form.

        An exception in place of an answer ends that request alone: BadRequest, or Cancelled if its ``cancelled()`` became true.
        If the method raises, every request is answered alone by ``generate``; for lack of memory, by two smaller batches.
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


class DecodeLimits(NamedTuple):
    """Limits for decoding one file. ``field``: the name of the request's field that holds the file."""

    seconds: float
    """The longest wait for the decoder. Its CPU time is limited to the same number of seconds on each CPU."""
    memory: int
    """Bytes that the decoder allocates, its arguments among them."""
    field: str | None = None


def decode_apart(
    function: Callable[..., Any] | str, *arguments: object, limits: DecodeLimits, cancelled: Cancellation
) -> Any:
    """``function(*arguments)``, computed by a process that can be killed: for files of clients, whose decoders may crash, loop or
    fill the memory.

    ``function`` is module-level, or the name of one, ``module:function``: then this process need not import its module. If the
    model has a module named ``decoding`` beside its ``model.py``, the decoders' process imports it during the start. Otherwise
    the first call waits for its imports. The function returns None, bool, int, float, str, bytes, numpy arrays of numbers, or
    tuples (of any class, which become plain ones), lists and dicts of these.

    Raises what the function raises of BadRequest and Cancelled, Cancelled as soon as ``cancelled()`` is true, and BadRequest
    (422) if the function exceeds a limit, or a decoder crashes. Other exceptions of the function become one with its traceback.
    """
    (value,) = decode_each_apart(function, *arguments, limits=limits, cancelled=cancelled)
    return value


def decode_each_apart(
    function: Callable[..., Any] | str, *arguments: object, limits: DecodeLimits, cancelled: Cancellation
) -> Iterator[Any]:
    """As ``decode_apart``, for a generator function: its values as they come, two ahead at most. The process ends if the iterator
    is closed."""
    from entrypoints.decoding.client import iterate_apart  # which a start without media does not need
    from entrypoints.decoding.messages import Limits
    from entrypoints.decoding.worker import Call

    call = Call(function, arguments, BadRequest, Cancelled)
    return iterate_apart(call, Limits(limits.seconds, limits.memory), cancelled, limits.field)
