"""Functions in processes of their own: what comes back, and how each is ended. Real processes, killed for real."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entrypoints.contract import BadRequest, Cancellation, Cancelled, DecodeLimits, decode_apart, decode_each_apart
from entrypoints.decoding import client
from tests.support.collection.sampled import sampled
from tests.support.container.apart import decoding
from tests.support.container.running import wait_until

LIMITS = DecodeLimits(20, 256 << 20, "face")
MODULE = decoding.__name__
TEMPLATES_DESCRIPTORS = 6
"""The socket to the model process, stdout, stderr, a pipe that wakes it, and /dev/null."""


def never() -> bool:
    return False


def apart(function: Callable[..., Any] | str, *arguments: object, limits: DecodeLimits = LIMITS) -> Any:
    return decode_apart(function, *arguments, limits=limits, cancelled=never)


def find_template() -> int:
    assert client._Current.template is not None
    return client._Current.template.process


def find_children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def refuse(function: Callable[..., Any], *arguments: object, limits: DecodeLimits = LIMITS) -> str:
    with pytest.raises(BadRequest) as caught:
        apart(function, *arguments, limits=limits)
    assert (caught.value.field, caught.value.status) == ("face", 422)
    wait_until(lambda: not find_children(find_template()), "the end of the worker")
    return str(caught.value)


def test_values_come_back() -> None:
    assert apart(decoding.add, 1, 2) == 3
    assert apart(f"{MODULE}:add", 20, 22) == 42
    left, right = apart(decoding.make, 1000)
    assert np.array_equal(left, np.arange(1000, dtype=np.float32))
    assert right["empty"].shape == (0, 3)
    assert right[3] == ("text\n", b"\0\xff", None, 0.5, True)
    assert right["twice"][0] is not left
    assert np.shares_memory(right["twice"][0], right["twice"][1])
    left[0] = 5  # its own memory, though it is a view
    assert apart(decoding.give_back, left)[0] == 5


@pytest.mark.parametrize("dtype", ["u1", "<i8", "<f4", "<f8", "<f2", "?", "<c8"])
def test_arrays_of_any_shape_and_order_come_back(dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    for each in (array, array.transpose(2, 0, 1), array[::2, ::-1], array[0, 0, 0:0], np.array(array[1, 1, 1])):
        got = apart(decoding.give_back, each)
        assert (got.dtype, got.shape) == (each.dtype, each.shape)
        assert np.array_equal(got, each)


@pytest.mark.parametrize("value", [{1, 2}, object, np.array(["text"]), np.array([object()], object)])
def test_other_values_are_a_fault_of_the_code(value: object) -> None:
    with pytest.raises(client.CallFailed, match="a worker cannot return"):
        apart(decoding.give_back, value)


def test_a_refusal_is_the_functions_own() -> None:
    values = decode_each_apart(decoding.fail_after, 3, limits=LIMITS, cancelled=never)
    assert [next(values) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(BadRequest, match="no more") as caught:
        next(values)
    assert (caught.value.field, caught.value.status) == ("own", 413)


def test_other_exceptions_keep_their_traceback() -> None:
    with pytest.raises(client.CallFailed, match=r"(?s)KeyError: 'a fault of the code'.*in break_down"):
        apart(decoding.break_down)
    with pytest.raises(Cancelled):
        apart(decoding.give_up)


@pytest.mark.parametrize("function", [decoding.spin, decoding.sleep])
def test_time(function: Callable[..., Any]) -> None:
    assert refuse(function, limits=LIMITS._replace(seconds=0.3)) == "the file took more than 0.3 s to decode"


@pytest.mark.parametrize(
    ("function", "size"),
    [(decoding.allocate, 300 << 20), (decoding.give_zeros, 300 << 20), (decoding.give_back, bytes(300 << 20))],
)
def test_memory(function: Callable[..., Any], size: object) -> None:
    assert refuse(function, size) == "the file took more than 256 MiB to decode"


def test_memory_below_the_limit_is_there_in_threads_too() -> None:
    assert apart(decoding.allocate, 200 << 20) == 200 << 20
    assert apart(decoding.allocate_in_threads, 40 << 20) == 4


@pytest.mark.parametrize(
    ("function", "argument", "how"),
    [
        *(
            (decoding.end_by, number, number.name)
            for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL)
        ),
        (decoding.leave, 1, "code 1"),
        (decoding.leave, 0, "code 0"),
    ],
)
def test_a_crash(function: Callable[..., Any], argument: int, how: str) -> None:
    assert f"the decoder ended with {how}" in refuse(function, argument)


def test_a_kill_by_the_kernel_means_memory() -> None:
    assert refuse(decoding.end_by, signal.SIGKILL) == "the file took more than 256 MiB to decode"


def test_native_code_that_gives_up_writes_no_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert "SIGABRT" in refuse(decoding.shout)
    assert "corrupted" not in capfd.readouterr().err


def test_a_cancelled_call_ends_at_once() -> None:
    apart(decoding.add, 1, 2)  # the template works
    begun = threading.Event()

    def cancelled() -> bool:
        if find_children(find_template()):
            begun.set()
        return begun.is_set()

    with pytest.raises(Cancelled):
        decode_apart(decoding.spin, limits=LIMITS, cancelled=cancelled)
    wait_until(lambda: not find_children(find_template()), "the end of the worker")


def test_values_are_two_ahead_at_most(tmp_path: Path) -> None:
    """However long the caller takes: its time does not count."""
    note = tmp_path / "note"
    values = decode_each_apart(decoding.count, str(note), limits=LIMITS._replace(seconds=5), cancelled=never)
    assert [next(values), next(values)] == [0, 1]
    wait_until(lambda: note.exists() and note.read_text() == "3", "values ahead")
    time.sleep(0.2)
    assert note.read_text() == "3"
    values.close()  # type: ignore[attr-defined]
    wait_until(lambda: not find_children(find_template()), "the end of the worker")


def test_what_a_worker_is() -> None:
    seen = apart(decoding.describe)
    assert seen["parent"] == find_template()
    assert (seen["threads"], seen["ignored"]) == (1, True)
    assert seen["descriptors"] <= 5  # 0, 1, 2, the one that 1 was copied from, and the socket
    assert apart(decoding.describe)["process"] != seen["process"]


def test_a_new_template_takes_the_place_of_one_that_was_killed() -> None:
    apart(decoding.add, 1, 2)
    first = find_template()
    os.kill(first, signal.SIGKILL)
    assert apart(decoding.add, 2, 2) == 4
    assert find_template() != first
    assert not Path(f"/proc/{first}").exists()  # reaped


def test_workers_end_with_their_template(tmp_path: Path) -> None:
    apart(decoding.add, 1, 2)
    template = find_template()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            apart(decoding.sleep_after, str(tmp_path / "begun"))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until((tmp_path / "begun").exists, "the worker")
    (worker,) = find_children(template)
    os.kill(template, signal.SIGKILL)
    thread.join(20)
    assert [type(failure) for failure in failures] == [client.CallFailed]
    wait_until(lambda: not Path(f"/proc/{worker}").exists(), "the end of the worker")
    assert apart(decoding.add, 3, 4) == 7


def test_calls_of_many_threads() -> None:
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: results.extend(apart(decoding.add, n, each) for each in range(5)))
        for n in range(0, 80, 10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(n + each for n in range(0, 80, 10) for each in range(5))


@pytest.mark.parametrize("calls", sampled([200, 10_000], 200))
def test_nothing_is_left_of_many_calls(calls: int) -> None:
    apart(decoding.make, 10)

    def look() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), len(list(Path(f"/proc/{find_template()}/fd").iterdir()))

    wait_until(lambda: look()[1] == TEMPLATES_DESCRIPTORS, "the end of the first worker")
    before = look()
    flags: list[Cancellation] = [never, lambda: True]
    for number in range(calls):
        try:
            decode_apart(decoding.make, number, limits=LIMITS, cancelled=flags[number % 10 == 9])
        except Cancelled:
            continue
    wait_until(lambda: look() == before, "the end of the workers")
    assert not find_children(find_template())
