"""The link of the server process to a model process, over a real socket pair."""

from __future__ import annotations

import os
import socket

from entrypoints.processes.channel import Channel
from entrypoints.processes.events import Notice
from entrypoints.processes.status import Status
from entrypoints.processes.timeline import Timeline
from entrypoints.server.inference import InferenceRequested
from entrypoints.server.model_link import ModelLink


def test_an_event_that_cannot_be_used_ends_the_start_and_answers_what_waits() -> None:
    """Without the thread that reads events the start would never end."""
    ours, theirs = socket.socketpair()
    status = Status()
    link = ModelLink(name="", workers=1, status=status, timeline=Timeline(), channel=Channel(ours), process=os.getpid())
    waiting = link.submit({}, None)
    link.start()
    other = Channel(theirs)
    other.send(None, Notice("well"))
    other.send(None, InferenceRequested({}, wants_progress=False))  # no event of a start
    assert waiting.response.result(timeout=30).status == 500
    status.failed.result(timeout=30)
    assert "an event of the model process cannot be used: AttributeError" in str(status.fault)
