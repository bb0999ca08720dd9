"""The command's ends: what it says, and its exit code."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import pytest

from prebake.cli import main
from prebake.commands import parsing, schema
from prebake.errors import Interrupted


@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, "Interrupted."), (signal.SIGTERM, "Stopped by SIGTERM.")])
def test_a_library_that_catches_every_exception_does_not_swallow_a_signal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, said: str
) -> None:
    """docker-py makes a DockerException of whatever happens while it asks for the API version."""

    def ask(_request: object) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except Exception as error:
            raise RuntimeError("while fetching the API version") from error

    monkeypatch.setattr(parsing, "COMMANDS", [replace(schema.COMMAND, run=ask)])
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["schema"]) == Interrupted.exit_code
    finally:
        signal.signal(signal.SIGTERM, before)
    assert f"error: {said}" in capsys.readouterr().err
