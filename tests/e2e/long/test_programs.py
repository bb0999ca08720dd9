"""The programs as a person starts them: the section, the exit code, and nothing left after an interrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import LABEL
from prebake.docker.containers.owners import owner_label
from tests.support.commands.projects import Built
from tests.support.repository import ROOT


def test_a_run_writes_its_section(engine: Connection, toy: Built, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Before\n<!-- restarts -->\nold\n<!-- /restarts -->\nafter\n")
    words = ("--times", "1", "--image", toy.tag, "--note", "a test", "--write", str(page))
    done = subprocess.run(
        [sys.executable, "-m", "tests.long.restarts", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    text = page.read_text()
    assert text == f"# Before\n<!-- restarts -->\n{done.stdout}<!-- /restarts -->\nafter\n"
    assert f"`python -m tests.long.restarts --times 1 --image {toy.tag}`" in text
    assert "- **Note:** a test" in text


def test_an_interrupt_leaves_nothing(engine: Connection, toy: Built, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.long.restarts", "--image", toy.tag],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    filters: dict[str, str | list[str] | bool] = {"label": f"{LABEL}={owner_label(child.pid)}"}
    with closing(engine.client()) as client:
        try:
            deadline = time.monotonic() + 60
            while not client.containers.list(filters=filters, ignore_removed=True):
                assert child.poll() is None, child.communicate()
                assert time.monotonic() < deadline
            child.send_signal(signal.SIGTERM)
            stdout, stderr = child.communicate(timeout=60)
        finally:
            child.kill()
        assert client.containers.list(all=True, filters=filters, ignore_removed=True) == []
    assert (child.returncode, stdout) == (130, ""), stderr
    assert "restarts: interrupted" in stderr
    assert list(tmp_path.iterdir()) == []
