"""What a model process prints, by whatever means, is in the log as JSON."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from entrypoints.processes.log import before_end
from entrypoints.processes.model_output import LAST_LINES, MAX_LINES, MAX_TEXT_BYTES, ModelOutput
from tests.support.container.running import Server, Start, wait_until

NATIVE = """
import ctypes, logging, os, subprocess, sys, threading, warnings
libc = ctypes.CDLL(None)
libc.write(2, b"by a library\\n", 13)
os.write(1, b"on stdout\\n")
print("by print")
print("on sys.stderr", file=sys.stderr)
subprocess.run(["sh", "-c", "echo by a child >&2"], check=True)
logging.getLogger("of the model").warning("by logging")
warnings.warn("by warnings")
thread = threading.Thread(target=lambda: {}["by a thread"])
thread.start()
thread.join()
sys.stderr.flush()
sys.stdout.flush()
"""


def list_output(server: Server) -> list[str]:
    return [event["text"] for event in server.find_events("output")]


def test_every_way_to_print_ends_in_a_line_of_json(start: Start) -> None:
    server = start(TINY_CODE=NATIVE).wait_for("ready")
    wanted = {"by a library", "on stdout", "by print", "on sys.stderr", "by a child"}
    wait_until(lambda: wanted <= set(list_output(server)), "the output")
    assert server.find_events("log")[0]["text"] == "by logging"
    assert server.find_events("warning")[0]["text"] == "by warnings"
    (exception,) = server.find_events("exception")
    assert exception["error"] == "KeyError: 'by a thread'"


def test_the_last_lines_of_a_process_that_is_killed_are_kept(start: Start) -> None:
    code = "import os, signal; os.write(2, b'first\\nlast words'); os.kill(os.getpid(), signal.SIGKILL)"
    server = start(TINY_CODE=code, PREBAKE_FAILURE_EXIT_DELAY="0")
    assert server.wait() in (76, 84)
    assert list_output(server) == ["first", "last words"]


def test_a_flood_is_cut_and_its_end_is_kept(start: Start) -> None:
    code = f"""
import os, signal
for number in range({MAX_LINES} * 20):
    os.write(2, b"line %d\\n" % number)
os.kill(os.getpid(), signal.SIGKILL)
"""
    server = start(TINY_CODE=code, PREBAKE_FAILURE_EXIT_DELAY="0")
    server.wait()
    told = list_output(server)
    assert len(told) <= 2 * (MAX_LINES + LAST_LINES)
    assert told[0] == "line 0"
    assert told[-1] == f"line {MAX_LINES * 20 - 1}"
    suppressed = sum(event["suppressed"] for event in server.find_events("suppressed"))
    assert suppressed >= MAX_LINES * 18


def test_a_model_that_prints_without_end_does_not_delay_liveness(start: Start, tmp_path: Path) -> None:
    code = """
import os, threading
def print_on():
    while True:
        os.write(1, b"x" * 70000)
        os.write(2, b"y\\n" * 30000)
threading.Thread(target=print_on, daemon=True).start()
"""
    server = start(TINY_CODE=code).wait_for("ready")
    for _ in range(20):
        assert server.get("/v2/health/live").elapsed.total_seconds() < 5
    assert server.post(json={"values": "1,2,3,4"}).status_code == 200
    assert len(server.stderr) < 10_000_000
    server.terminate()
    assert server.wait() == 0


def test_a_line_without_end_is_cut_and_a_progress_bar_is_its_last_state(start: Start) -> None:
    code = """
import os
os.write(2, b"z" * 100_000 + b"\\nnext\\n")
for percent in range(101):
    os.write(2, b"\\r%3d%%" % percent)
os.write(2, b"\\n\\n\\xff\\xfe\\x1b[31mred\\n")
"""
    server = start(TINY_CODE=code).wait_for("ready")
    wait_until(lambda: len(list_output(server)) >= 4, "the output")
    long, after, bar, odd = list_output(server)
    assert long.strip("z") == ""
    assert len(long) <= MAX_TEXT_BYTES
    assert (after, bar, odd) == ("next", "100%", "\ufffd\ufffd\x1b[31mred")


def test_lines_of_several_models_have_the_model_s_name(capfd: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    seen: list[str] = []
    output = ModelOutput(reader, "left", seen.append)
    os.write(writer, b"one\ntw")
    output.read_rest()
    os.close(writer)
    os.close(reader)
    assert seen == ["one", "tw"]
    assert capfd.readouterr().err.count('"model": "left"') == 2


def test_a_model_process_prints_its_stacks_when_it_is_asked(start: Start) -> None:
    server = start(TINY_START="1").wait_for("starting")
    server.wait_for_note("creating")
    os.kill(server.find_model_process(), signal.SIGUSR2)
    wait_until(lambda: any("in create" in text for text in list_output(server)), "the stacks")
    server.leave_note("go")
    server.wait_for("ready")


def test_a_model_that_crashes_in_native_code_leaves_its_stacks(start: Start) -> None:
    """A real fault, in a thread of the start: the last lines are in the log although the process is gone."""
    server = start(TINY_CODE="import ctypes; ctypes.string_at(0)", PREBAKE_FAILURE_EXIT_DELAY="0")
    assert server.wait() == 76
    assert "SIGSEGV" in server.find_events("fault")[0]["reason"]
    texts = list_output(server)
    assert texts[0] == "Fatal Python error: Segmentation fault"
    assert any("in load_model" in text for text in texts)


@pytest.mark.parametrize("is_early", [True, False])
def test_the_end_of_a_process_leaves_neither_its_pipe_nor_its_reader(*, is_early: bool) -> None:
    """A server may load and unload a model a thousand times. ``is_early``: the process ends before its pipe is read."""

    async def follow() -> None:
        pipe, writer = os.pipe()
        output = ModelOutput(pipe, "", lambda _: None)
        if is_early:
            os.close(writer)
        output.follow(asyncio.get_running_loop())
        if not is_early:
            os.close(writer)
        while Path(f"/proc/self/fd/{pipe}").exists():
            await asyncio.sleep(0.005)

    before = list(before_end)
    asyncio.run(asyncio.wait_for(follow(), 20))
    assert before_end == before
