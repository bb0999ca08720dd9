"""Contents into a socket: what lies in files goes there by sendfile(2), without passing through this process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from prebake.oci.content import BLOCK, Content, FileChanged, FileContent, Joined

_PIECE = 8 * BLOCK


@dataclass(frozen=True)
class Outlet:
    """A blocking socket. ``count`` is told of bytes before they leave, so that whoever got them finds them counted, and
    of a negative number where fewer left."""

    socket: socket.socket
    count: Callable[[int], None]

    def send(self, data: memoryview) -> None:
        self.count(len(data))
        self.socket.sendall(data)

    def send_file(self, descriptor: int, offset: int, size: int) -> bool:
        """False where the file ends before."""
        end = offset + size
        while offset < end:
            piece = min(_PIECE, end - offset)
            self.count(piece)
            sent = os.sendfile(self.socket.fileno(), descriptor, offset, piece)
            self.count(sent - piece)
            if sent == 0:
                return False
            offset += sent
        return True


def send(content: Content, outlet: Outlet, offset: int, size: int) -> None:
    """``size`` bytes of ``content`` from ``offset`` on, which it has to have.

    Raises ConnectionError where the other side is gone, FileChanged where a file is not what it was.
    """
    if isinstance(content, Joined):
        _send_parts(content, outlet, offset, size)
    elif isinstance(content, FileContent):
        _send_file(content, outlet, offset, size)
    else:
        _send_chunks(content, outlet, offset, size)


def _send_parts(content: Joined, outlet: Outlet, offset: int, size: int) -> None:
    for part in content.parts:
        taken = min(part.size - offset, size)
        if taken > 0:
            send(part, outlet, offset, taken)
            size -= taken
        offset = max(0, offset - part.size)


def _send_file(content: FileContent, outlet: Outlet, offset: int, size: int) -> None:
    with content.opened() as descriptor:
        if not outlet.send_file(descriptor, offset, size):
            raise FileChanged(
                f"{content.path} changed: it became shorter while it was sent.",
                next_action="build again; leave the store to Prebake meanwhile",
            )


def _send_chunks(content: Content, outlet: Outlet, offset: int, size: int) -> None:
    for chunk in content.chunks(offset):
        outlet.send(chunk[:size])
        size -= len(chunk)
        if size <= 0:
            return
