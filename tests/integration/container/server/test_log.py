"""What a container writes can be read line by line: each is one JSON object."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from entrypoints.processes.log import MAX_LINE_BYTES, MAX_REPEATS, encode
from tests.support.container.running import Server, Start
from tests.support.repository import ROOT

MANY = 2000
WRITER = f"""
from entrypoints.processes.log import log_event
for number in range({MANY}):
    log_event("request", number=number, words="these and those")
"""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
LEVELS = {"debug", "info", "warning", "error"}
HOOKS = "from entrypoints.processes.log import install_hooks, log_event; install_hooks()\n"


def run(program: str, code: int = 0) -> list[dict[str, Any]]:
    """The lines of a Python program, each checked."""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == code, ended.stderr.decode()
    lines = ended.stderr.splitlines()
    assert max(map(len, lines), default=0) < MAX_LINE_BYTES
    return check([json.loads(line) for line in lines])


def check(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for event in events:
        assert TIME.fullmatch(event["time"]), event
        assert event["level"] in LEVELS, event
        assert event["event"], event
    return events


def test_lines_of_processes_that_share_stderr_stay_whole() -> None:
    """Without a buffer, as containers run (PYTHONUNBUFFERED)."""
    shell = '"$1" -u -c "$2" & "$1" -u -c "$2"; wait'
    ended = subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, WRITER], stderr=subprocess.PIPE, text=True, check=True
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert sorted(line["number"] for line in lines) == sorted([*range(MANY)] * 2)


def test_a_start_and_a_stop_are_told_in_lines_with_time_and_level(start: Start) -> None:
    before = datetime.now(UTC)
    server = start().wait_for("ready")
    server.terminate()
    assert server.wait() == 0
    events = check(server.events)
    assert {"live", "ready", "draining", "stopped"} <= {event["event"] for event in events}
    times = [datetime.fromisoformat(event["time"]) for event in events]
    assert all((before - time).total_seconds() < 1 for time in times)
    assert max(times) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("program", "event", "fields"),
    [
        ("raise ValueError('words')", "exception", {"error": "ValueError: words", "where": "main thread"}),
        (
            "import threading; t = threading.Thread(target=lambda: 1 / 0, name='one'); t.start(); t.join()",
            "exception",
            {"error": "ZeroDivisionError: division by zero", "where": "thread one"},
        ),
        (
            "class C:\n def __del__(self): raise OSError('late')\nC()",
            "exception",
            {"error": "OSError: late"},
        ),
        ("import warnings; warnings.warn('old\\nname')", "warning", {"category": "UserWarning", "text": "old\nname"}),
        (
            "import logging; logging.getLogger('lib').error('no %s', 'way')",
            "log",
            {"level": "error", "logger": "lib", "text": "no way"},
        ),
        ("import logging; logging.warning('root')", "log", {"level": "warning", "logger": "root", "text": "root"}),
        ("import logging; logging.error('%d and %d', 'x')", "log", {"text": "%d and %d"}),
        (
            "import logging\ntry: 1 / 0\nexcept ZeroDivisionError: logging.exception('failed')",
            "log",
            {"text": "failed", "error": "ZeroDivisionError: division by zero"},
        ),
    ],
    ids=["main", "thread", "unraisable", "warning", "logger", "root", "bad arguments", "traceback"],
)
def test_what_python_reports_is_one_line(program: str, event: str, fields: dict[str, str]) -> None:
    (line,) = run(HOOKS + program, code=1 if program.startswith("raise") else 0)
    assert line["event"] == event
    assert {name: line.get(name) for name in fields} == fields
    if "error" in fields:
        assert line["traceback"].startswith("Traceback (most recent call last):\n")


def test_errors_of_the_event_loop_are_lines(start: Start) -> None:
    program = """
import asyncio, gc
from entrypoints.processes.log import log_loop_error
async def fail(): raise OSError("nobody asked")
async def main():
    asyncio.get_running_loop().set_exception_handler(log_loop_error)
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    task = asyncio.ensure_future(fail()); await asyncio.sleep(0.01); del task; gc.collect()
asyncio.run(main())
"""
    lines = run(HOOKS + program)
    assert [line["error"] for line in lines] == ["ZeroDivisionError: division by zero", "OSError: nobody asked"]
    assert "Task exception was never retrieved" in lines[1]["text"]


@pytest.mark.parametrize(
    "text",
    [
        "a\nb\r\n\x00\x1b[31m",
        "line\u2028separator\u2029 next\x85line",
        "\x9b31m \u202e",
        "\udcff lone",
        "\U0001f600",
        "中",
    ],
)
def test_any_text_stays_in_its_line(text: str) -> None:
    line = encode({"time": "", "level": "info", "event": "x", "text": text})
    assert json.loads(line)["text"] == text
    assert len(line.decode().splitlines()) == 1
    assert line.decode().rstrip("\n").isprintable()


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        "中" * 10**5,
        ["y" * 1000] * 1000,
        {f"k{n}": "z" * 500 for n in range(1000)},
        [[["\x00" * 9000] * 9] * 9] * 9,
    ],
    ids=["text", "wide", "list", "names", "nested"],
)
def test_a_line_has_a_bound(value: object) -> None:
    line = encode({"time": "t", "level": "info", "event": "x", "value": value})
    assert len(line) <= MAX_LINE_BYTES
    assert json.loads(line)["event"] == "x"


@pytest.mark.parametrize("value", ["float('nan')", "-float('inf')", "10**5000", "object()", "b'\\xff'", "{1: (2,)}"])
def test_a_value_that_json_lacks_is_told_all_the_same(value: str) -> None:
    (line,) = run(f"{HOOKS}log_event('x', value={value}, other=1)")
    assert line["event"] == "x"
    assert "NaN" not in json.dumps(line)


def test_repeated_lines_are_counted_and_other_lines_are_written() -> None:
    program = f"""
import logging
for number in range({MANY}):
    logging.getLogger("lib").error("accept failed: %s", "x" * number)
    log_event("request", number=number)
log_event("other")
from entrypoints.processes.exit import finish
finish(0)
"""
    lines = run(HOOKS + program)
    assert sum(line["event"] == "log" for line in lines) == MAX_REPEATS
    assert sum(line["event"] == "request" for line in lines) == MANY
    assert sum(line["event"] == "other" for line in lines) == 1
    (suppressed,) = [line for line in lines if line["event"] == "suppressed"]
    assert (suppressed["of"], suppressed["suppressed"]) == ("log", MANY - MAX_REPEATS)


def test_the_count_is_told_although_nothing_else_is_logged() -> None:
    program = f"""
import time
from entrypoints.processes import log
log.REPEAT_SECONDS = 0.2
for _ in range({MAX_REPEATS} + 7):
    log_event("told")
time.sleep(2)
print(len(__import__("threading").enumerate()))
import os
os._exit(0)
"""
    lines = run(HOOKS + program)
    assert [line["suppressed"] for line in lines if line["event"] == "suppressed"] == [7]


def test_a_log_that_nobody_reads_ends_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = f"{HOOKS}log_event('x'); log_event('y'); print('went on')"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=writer, check=True, text=True
    )
    os.close(writer)
    assert ended.stdout == "went on\n"


def send_garbage(server: Server) -> None:
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00\n\x1b[2J" * 50,
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass


def test_no_client_can_write_a_plain_line(start: Start) -> None:
    server = start().wait_for("ready")
    for _ in range(3):
        send_garbage(server)
    server.post(json={"values": "\u2028x\x85\x1b[2J", "manner": "crash"})
    server.get("/\u2028/%0a")
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.wait() == 0
    check(server.events)
