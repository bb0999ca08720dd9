"""What every tier shares. CONTRIBUTING.md ("Adding a test") says which tier a test belongs to."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer

from tests.support.collection.order import GroupScheduling, sort_groups
from tests.support.collection.sampled import leave_out_slow
from tests.support.disks import disk_of

# The processes of tests outnumber the cores, and a thread of OpenMP that waits for others keeps its core busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# ONNX Runtime's telemetry is a thread that begins with the import. A fork after it (`forking_python.py`) has no such thread, and
# ends by SIGABRT or hangs. Besides, a test sends nothing to anybody.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# A shell that starts this in the background has it ignore SIGINT, and every process of a test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow", action="store_true", help="also run the tests that `make test` leaves to `make test-all`"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("slow"):
        leave_out_slow(config, items)
    sort_groups(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling | None:
    return GroupScheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Name a failed test at once: a run that does not come to its end prints no summary."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        crash = getattr(report.longrepr, "reprcrash", None)
        print(f"\nFAILED {report.nodeid} ({report.when}): {crash.message.splitlines()[0] if crash else ''}", flush=True)


@pytest.fixture(autouse=True)
def usual_priority() -> Iterator[None]:
    """A real-time priority would pass to every process that later tests start, and others would get no processor."""
    yield
    policy = os.sched_getscheduler(0)
    if policy != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        pytest.fail(f"The test left its process with the scheduling policy {policy}.")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    with disk_of("4m", tmp_path / "disk") as folder:
        yield folder
