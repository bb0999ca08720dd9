"""The command's ends: what it says, and its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from prebake.cli import main
from prebake.commands import schema
from prebake.errors import Interrupted, PackageMissing
from tests.support.repository import ROOT


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

    monkeypatch.setattr(schema, "COMMAND", replace(schema.COMMAND, run=ask))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["schema"]) == Interrupted.exit_code
    finally:
        signal.signal(signal.SIGTERM, before)
    assert f"error: {said}" in capsys.readouterr().err


def test_build_py_without_its_packages_names_the_first_and_what_to_do() -> None:
    command = [sys.executable, "-S", "-E", str(ROOT / "build.py"), "--list"]  # -S: without site-packages
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == PackageMissing.exit_code, ended.stderr
    assert "error: The Python package " in ended.stderr
    assert "make setup" in ended.stderr
    assert "Traceback" not in ended.stderr
