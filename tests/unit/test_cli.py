"""The command's ends: what it says, and its exit code."""

from __future__ import annotations

import argparse
import os
import signal
import time

import pytest

from prebake import verbs
from prebake.cli import main
from prebake.errors import Interrupted


@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, "Interrupted."), (signal.SIGTERM, "Stopped by SIGTERM.")])
def test_a_library_that_catches_every_exception_does_not_swallow_a_signal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, said: str
) -> None:
    """docker-py makes a DockerException of whatever happens while it asks for the API version."""

    def ask(_asked: argparse.Namespace) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except Exception as error:
            raise RuntimeError("while fetching the API version") from error

    monkeypatch.setattr(verbs, "schema", ask)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["schema"]) == Interrupted.exit_code
    finally:
        signal.signal(signal.SIGTERM, before)
    assert f"error: {said}" in capsys.readouterr().err
