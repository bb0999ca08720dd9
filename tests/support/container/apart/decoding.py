"""What decoders do to the process that runs them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from entrypoints.contract import BadRequest, Cancelled


class Pair(NamedTuple):
    left: NDArray[np.float32]
    right: object


def add(left: int, right: int) -> int:
    return left + right


def give_back(value: object) -> object:
    return value


def make(count: int) -> Pair:
    array = np.arange(count, dtype=np.float32)
    return Pair(
        array, {"twice": [array, array], "empty": np.zeros((0, 3), "u1"), 3: ("text\n", b"\0\xff", None, 0.5, True)}
    )


def spin() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(1000)


def sleep_after(path: str) -> None:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("begun")
    time.sleep(1000)


def count(path: str) -> Iterator[int]:
    """Without end; the last number is in the file at ``path``."""
    number = 0
    while True:
        with open(path, "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(str(number))
        yield number
        number += 1


def fail_after(values: int) -> Iterator[int]:
    yield from range(values)
    raise BadRequest("no more", field="own", status=413)


def allocate(size: int) -> int:
    return len(bytearray(b"\1") * size)


def allocate_in_threads(size: int) -> int:
    made: list[bytes] = []
    threads = [threading.Thread(target=lambda: made.append(b"\1" * size)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(made)


def give_zeros(size: int) -> NDArray[np.uint8]:
    return np.zeros(size, np.uint8)


def end_by(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(10)


def leave(code: int) -> None:
    os._exit(code)


def shout() -> None:
    os.write(2, b"corrupted double-linked list\n")
    os.abort()


def break_down() -> None:
    raise KeyError("a fault of the code")


def give_up() -> None:
    raise Cancelled


def describe() -> dict[str, object]:
    """What a worker is."""
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
    return {
        "process": os.getpid(),
        "parent": os.getppid(),
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,  # noqa: PTH208 - that of the listing
        "threads": int(status["Threads"]),
        "ignored": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
    }
