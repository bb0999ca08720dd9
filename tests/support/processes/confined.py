"""Commands that confine the program after them: to a number of processes, to a network, to a kernel without IPv6.

Each is a ``launcher`` of the fixture ``start`` (`tests.support.container.running`). Most need root; a test is skipped without."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

CGROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/pids"))
ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
WITHOUT_IPV6 = """
import ctypes, errno, os, platform, socket, struct, sys
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h, linux/filter.h
CALLS = {"x86_64": 41, "aarch64": 198}
rules = [
    (LOAD, 0, 0, 0), (EQUAL, 0, 3, CALLS[platform.machine()]),
    (LOAD, 0, 0, 16), (EQUAL, 0, 1, socket.AF_INET6),
    (RETURN, 0, 0, 0x00050000 | errno.EAFNOSUPPORT),  # SECCOMP_RET_ERRNO
    (RETURN, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program):
    sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[1], sys.argv[1:])
"""


def without_ipv6() -> list[str]:
    """``socket(AF_INET6, …)`` fails as on a kernel that is booted with ``ipv6.disable=1``."""
    return [sys.executable, "-c", WITHOUT_IPV6]


def with_ipv6_only() -> list[str]:
    """A network of its own, whose one interface has the address ::1 alone."""
    launcher = [
        "unshare",
        "--net",
        "sh",
        "-c",
        'ip link set lo up && ip address del 127.0.0.1/8 dev lo && exec "$@"',
        "sh",
    ]
    tried = subprocess.run([*launcher, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"a network namespace cannot be made: {tried.stderr.strip()}")
    return launcher


@contextlib.contextmanager
def limited_processes(maximum: int) -> Iterator[list[str]]:
    """A control group for ``maximum`` processes and threads."""
    group = make_group()
    (group / "pids.max").write_text(str(maximum))
    try:
        yield ["sh", "-c", ENTER, str(group)]
    finally:
        remove(group)


def make_group() -> Path:
    """The group is new: nothing was refused in it. Skips the test if this user may make none."""
    problems = []
    for root in CGROUPS:
        group = root / f"prebake-test-{uuid.uuid4().hex[:12]}"
        try:
            group.mkdir()
        except OSError as error:
            problems.append(f"{root}: {error.strerror}")
            continue
        if (group / "pids.max").exists():
            return group
        group.rmdir()
        problems.append(f"{root}: no controller pids")
    pytest.skip(f"no control group can be made: {'; '.join(problems)}")


def remove(group: Path) -> None:
    """A process that was killed leaves its group a moment later."""
    for _ in range(400):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.05)
