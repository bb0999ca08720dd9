"""The system calls that Python's standard library does not offer: ptrace(2) and a seccomp(2) filter.

Arguments and results are read by PTRACE_GET_SYSCALL_INFO (Linux 5.3), which has one form for all processors; only the numbers of
the system calls differ. It was not run on aarch64.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

# include/uapi/linux/ptrace.h
PTRACE_CONT, PTRACE_SYSCALL, PTRACE_GETEVENTMSG, PTRACE_SEIZE, PTRACE_GET_SYSCALL_INFO = 7, 24, 0x4201, 0x4206, 0x420E
EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC, EVENT_EXIT, EVENT_SECCOMP = 1, 2, 3, 4, 6, 7
OPTION_SYSGOOD, OPTION_EXITKILL = 1, 1 << 20
OPTIONS = (
    OPTION_SYSGOOD
    | OPTION_EXITKILL  # the kernel kills the traced processes if this program ends, however that happens
    | sum(1 << event for event in (EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC, EVENT_EXIT, EVENT_SECCOMP))
)
SYSCALL_STOP = signal.SIGTRAP | 0x80
WAIT_ALL = 0x40000000  # __WALL (include/uapi/linux/wait.h): threads too
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
SECCOMP_RET_TRACE, SECCOMP_RET_ALLOW = 0x7FF00000, 0x7FFF0000

# By processor: its AUDIT_ARCH, and the numbers of the calls whose arguments and results are read
# (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
MACHINES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {"open": 2, "openat": 257, "openat2": 437, "mmap": 9, "read": 0, "pread64": 17, "readv": 19, "preadv": 295}
        | {"preadv2": 327, "sendfile": 40, "copy_file_range": 326},
    ),
    "aarch64": (
        0xC00000B7,
        {"openat": 56, "openat2": 437, "mmap": 222, "read": 63, "pread64": 67, "readv": 65, "preadv": 69}
        | {"preadv2": 286, "sendfile": 71, "copy_file_range": 285},
    ),
}


class CannotCount(Exception):
    """The message says why this machine or this container cannot be counted."""


class Kernel:
    """The system calls that Python's standard library does not offer."""

    def __init__(self) -> None:
        try:
            import ctypes
        except ImportError as error:
            raise CannotCount(f"the image's Python has no ctypes ({error})") from error
        self.ctypes = ctypes
        self.library = ctypes.CDLL(None, use_errno=True)
        self._ptrace = self.library.ptrace
        self._ptrace.restype = ctypes.c_long
        self._ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self.info = (ctypes.c_uint64 * 11)()  # struct ptrace_syscall_info
        self._info_size = ctypes.sizeof(self.info)

    def ptrace(self, request: int, thread: int, address: Any, data: Any) -> int:
        """Raises OSError."""
        result = self._ptrace(request, thread, address, data)
        if result < 0:
            number = self.ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return int(result)

    def read_call(self, thread: int) -> None:
        """Fill ``info``: entry 3 is the number of the call, or its result; the arguments follow."""
        self.ptrace(PTRACE_GET_SYSCALL_INFO, thread, self._info_size, self.info)

    def read_event(self, thread: int) -> int:
        """The new thread or process of a stop."""
        message = self.ctypes.c_ulong()
        self.ptrace(PTRACE_GETEVENTMSG, thread, None, self.ctypes.byref(message))
        return int(message.value)

    def stop_at_calls(self, architecture: int) -> None:
        """This process and its children stop at each call of this architecture. Raises OSError."""
        self.install_filter(
            [
                (0x20, 0, 0, 4),  # load seccomp_data.arch
                (0x15, 0, 1, architecture),  # skip a line unless it is equal
                (0x06, 0, 0, SECCOMP_RET_TRACE),
                (0x06, 0, 0, SECCOMP_RET_ALLOW),
            ]
        )

    def install_filter(self, lines: list[tuple[int, int, int, int]]) -> None:
        """A filter of this process and of its children. ``lines`` are struct sock_filter: code, jt, jf, k. Raises OSError."""
        program = b"".join(
            code.to_bytes(2, sys.byteorder) + bytes((true, false)) + value.to_bytes(4, sys.byteorder)
            for code, true, false, value in lines
        )
        buffer = self.ctypes.create_string_buffer(program)
        pair = (self.ctypes.c_uint64 * 2)(len(lines), self.ctypes.addressof(buffer))  # struct sock_fprog
        for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, pair, 0, 0)):
            if self.library.prctl(*arguments):
                number = self.ctypes.get_errno()
                raise OSError(number, os.strerror(number))
