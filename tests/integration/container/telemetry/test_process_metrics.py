"""Memory and processor time of a tree of processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from entrypoints.server.metrics.process import ProcessTime, list_processes, measure_cpu_seconds, measure_resident_bytes
from tests.support.repository import ROOT

TREE = """
import os, subprocess, sys, threading
def begin():  # by a thread that ends: the kernel gives its children to another one
    code = "import sys; x = b'x' * 50_000_000; print(len(x), flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    ids.append(process.pid)
ids = []
thread = threading.Thread(target=begin)
thread.start()
thread.join()
print(ids[0], flush=True)
sys.stdin.read()
"""
WORK = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


@contextmanager
def tree() -> Iterator[tuple[str, str]]:
    """The ids of a process and of the child that a thread of it began."""
    with subprocess.Popen(
        [sys.executable, "-c", TREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = sorted((process.stdout.readline().strip() for _ in range(2)), key=lambda line: line == "50000000")
        yield str(process.pid), lines[0]
        process.stdin.close()  # type: ignore[union-attr]


def test_children_of_children_count() -> None:
    with tree() as (child, grandchild):
        found = list_processes(())
        assert found.index(child) < found.index(grandchild)
        assert measure_resident_bytes(grandchild) > 50_000_000
    assert list_processes([12345678])[-1] == "12345678"  # named by its parent alone
    assert measure_resident_bytes("12345678") == measure_cpu_seconds("12345678") == 0


def test_the_time_of_children_that_have_ended_counts() -> None:
    """In a process of its own, since the test's has other children."""
    program = f"""
import subprocess, sys
from entrypoints.server.metrics.process import ProcessTime, list_processes
time = ProcessTime()
before = time.measure(list_processes(()))
subprocess.run([sys.executable, "-c", {WORK!r}], check=True)
print(time.measure(list_processes(())) - before)
"""
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert float(printed) >= 0.25


def test_the_time_never_falls() -> None:
    """A process that ends between two looks would else look like a restart of the counter."""
    time = ProcessTime()
    largest = time.measure(["self"])
    assert largest > 0
    assert time.measure([]) == largest
