"""What a container writes can be read line by line."""

from __future__ import annotations

import json
import subprocess
import sys

MANY = 2000
WRITER = f"""
from entrypoints.processes.log import log_event
for number in range({MANY}):
    log_event("told", number=number, words="these and those")
"""


def test_lines_of_processes_that_share_stderr_stay_whole() -> None:
    """Without a buffer, as containers run (PYTHONUNBUFFERED)."""
    shell = '"$1" -u -c "$2" & "$1" -u -c "$2"; wait'
    ended = subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, WRITER], stderr=subprocess.PIPE, text=True, check=True
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert sorted(line["number"] for line in lines) == sorted([*range(MANY)] * 2)
