"""A thread with a network of its own (Linux namespaces(7)); nothing of it has a name, so nothing of it can be left behind.

The kernel removes a network namespace with its interfaces when no process is in it and no descriptor of it is open. A namespace
that ``ip netns`` makes has a name, and would outlive a process that is killed.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from prebake.workflow.absent.errors import StateUnavailable

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000  # linux/sched.h
_NETWORK = "/proc/thread-self/ns/net"


class IsolatedThread:
    """A thread in a network namespace and a mount namespace of its own. Processes that it starts are in them, too."""

    def __init__(self) -> None:
        """Raises StateUnavailable if this process may not make namespaces."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="isolated")
        try:
            self._network = self.run(_separate)
        except BaseException:
            self._thread.shutdown()
            raise

    def close(self) -> None:
        """End the thread. Its namespaces end with their last process."""
        self._thread.shutdown()
        os.close(self._network)

    @property
    def network(self) -> str:
        """The path by which ``ip`` finds the network namespace."""
        return f"/proc/{os.getpid()}/fd/{self._network}"

    def run(self, job: Callable[Parameters, Result], *arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
        """Call ``job`` in this thread."""
        return self._thread.submit(job, *arguments, **named).result()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in this network while the block runs, and so are threads that it starts meanwhile: their
        ``127.0.0.1`` is this network's."""
        former = os.open(_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call("setns", self._network, _CLONE_NEWNET)
            try:
                yield
            finally:
                _call("setns", former, _CLONE_NEWNET)
        finally:
            os.close(former)


@contextmanager
def isolated_thread() -> Iterator[IsolatedThread]:
    """A thread for the length of the block. Raises StateUnavailable."""
    thread = IsolatedThread()
    try:
        yield thread
    finally:
        thread.close()


def _separate() -> int:
    """Give the calling thread namespaces of its own. Returns a descriptor of its network's."""
    _call("unshare", _CLONE_NEWNS | _CLONE_NEWNET)
    return os.open(_NETWORK, os.O_RDONLY | os.O_CLOEXEC)


def _call(function: str, *numbers: int) -> None:
    """Call a function of the C library that Python 3.11 does not offer."""
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*numbers):
        reason = os.strerror(ctypes.get_errno())
        raise StateUnavailable(
            f"This process may not use network namespaces ({function}: {reason}).",
            next_action="run the command as root, outside of a container or in a privileged one, or leave `--state absent` out",
        )
