"""Events: each one knows what it changes, and arrives at the other process as it was sent."""

from __future__ import annotations

import inspect
import socket
from typing import Any

import pytest

from entrypoints.contract import Field
from entrypoints.errors import MissingFile
from entrypoints.forms.raw_request import RawRequest
from entrypoints.processes import events
from entrypoints.processes.channel import Channel
from entrypoints.processes.start_record import StartRecord
from entrypoints.processes.timeline import Timeline
from entrypoints.response import Response
from entrypoints.server import inference as inference_events
from entrypoints.server.inference import InferenceCancelled, InferenceRequested, RemoteInference

SAMPLES: dict[type, Any] = {
    events.PhaseStarted: events.PhaseStarted("load", 0.5),
    events.PhaseEnded: events.PhaseEnded("load", 0.5, 0.25),
    events.ImportTimed: events.ImportTimed("numpy", 0.1),
    events.Notice: events.Notice("not as it was baked"),
    events.ManifestRead: events.ManifestRead(None, ["extra"], 2),  # type: ignore[arg-type]
    events.ComponentOpened: events.ComponentOpened("net", "cpu"),
    events.ComponentEvicted: events.ComponentEvicted("net"),
    events.ComponentReloaded: events.ComponentReloaded("net", 0.5),
    events.FallbackTaken: events.FallbackTaken("net", "cuda", "cpu", "provider", "there is none"),
    events.FieldsAccepted: events.FieldsAccepted((Field("text", "text", "Words."),)),
    events.BucketRun: events.BucketRun("net", "batch 1"),
    events.Ready: events.Ready(0.75),
    events.Failed: events.Failed(MissingFile("a.onnx is not there")),
}
INFERENCE_SAMPLES: dict[type, Any] = {
    inference_events.InferenceQueued: inference_events.InferenceQueued(),
    inference_events.InferenceStarted: inference_events.InferenceStarted(0.5),
    inference_events.InferenceProgressed: inference_events.InferenceProgressed(1, 2, "half"),
    inference_events.InferenceEnded: inference_events.InferenceEnded(0.5, Response(200, b"{}")),
}
REQUESTS = {
    InferenceRequested: InferenceRequested(RawRequest("application/json", "", b"{}"), True),
    InferenceCancelled: InferenceCancelled("left"),
}


def classes_of(module: Any) -> set[type]:
    found = {value for _, value in inspect.getmembers(module, inspect.isclass) if value.__module__ == module.__name__}
    return {value for value in found if issubclass(value, tuple)}


def test_every_event_is_tried_here() -> None:
    assert set(SAMPLES) == classes_of(events)
    assert {*INFERENCE_SAMPLES, *REQUESTS} == classes_of(inference_events)


@pytest.mark.parametrize("event", SAMPLES.values(), ids=lambda event: type(event).__name__)
def test_an_event_of_the_start_changes_the_record_of_both_processes(event: Any) -> None:
    ours, theirs = (Channel(end) for end in socket.socketpair())
    sender, receiver = Timeline(send=lambda sent: theirs.send(None, sent)), Timeline()
    sender.apply(event)
    number, received = ours.receive()
    receiver.apply(received)
    assert number is None
    for timeline in (sender, receiver):
        assert record_of(timeline) != record_of(StartRecord())
    assert str(record_of(sender)) == str(record_of(receiver))


def record_of(start: StartRecord) -> dict[str, Any]:
    return {name: getattr(start, name) for name in vars(StartRecord())}


@pytest.mark.parametrize("event", INFERENCE_SAMPLES.values(), ids=lambda event: type(event).__name__)
def test_an_event_of_an_inference_changes_what_the_server_knows_of_it(event: Any) -> None:
    ours, theirs = (Channel(end) for end in socket.socketpair())
    heard: list[tuple[int, int, str]] = []
    inference = RemoteInference(7, ours, lambda *step: heard.append(step))
    theirs.send(7, event)
    number, received = ours.receive()
    received.apply(inference)
    assert (number, received) == (7, event)
    assert heard or inference.queued.done() or inference.started.done() or inference.response.done()


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_request_reaches_the_model_process_whole(size: int) -> None:
    ours, theirs = (Channel(end) for end in socket.socketpair())
    request = InferenceRequested(RawRequest("application/json", "", bytes(size)), wants_progress=False)
    ours.send(3, request)
    assert theirs.receive() == (3, request)
