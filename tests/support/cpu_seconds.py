"""A pytest plugin that records the CPU seconds of each test, of its process and of the subprocesses that it waited for.

``pytest -p tests.support.cpu_seconds --cpu-seconds FILE`` appends one JSON line for each phase of a test to FILE. Containers run
in the Engine's processes and are not counted. CPU seconds depend less than wall time on what else the machine does.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu-seconds", metavar="FILE", help="append the CPU seconds of each test to FILE")


def used() -> tuple[float, float, float]:
    """Seconds: wall time, CPU of this process, CPU of its ended subprocesses."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic(), own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime


def recorded(item: pytest.Item, phase: str) -> Iterator[None]:
    begin = used()
    try:
        yield
    finally:
        wall, own, children = (after - before for before, after in zip(begin, used(), strict=True))
        line = {
            "test": item.nodeid,
            "phase": phase,
            "wall": wall,
            "own": own,
            "children": children,
            "process": os.getpid(),
        }
        if path := item.config.getoption("--cpu-seconds"):
            with Path(path).open("a") as file:  # one write of a short line: workers append to the same file
                file.write(json.dumps(line) + "\n")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    return (yield from recorded(item, "setup"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    return (yield from recorded(item, "call"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    return (yield from recorded(item, "teardown"))
