"""Contents into a socket: bytes of files go there by sendfile(2), without being copied through this process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from prebake.oci.blobs.content import BLOCK_BYTES, Content, FileChanged, FileContent, JoinedContent

_SENDFILE_BYTES = 8 * BLOCK_BYTES


@dataclass(frozen=True)
class SocketWriter:
    """A blocking socket. ``count`` is called with the number of bytes before they leave, so that a client that has them finds
    them counted, and with a negative number if fewer left."""

    socket: socket.socket
    count: Callable[[int], None]

    def send(self, data: memoryview) -> None:
        self.count(len(data))
        self.socket.sendall(data)

    def send_file(self, descriptor: int, offset: int, size: int) -> bool:
        """False if the file ends before ``offset + size``."""
        end = offset + size
        while offset < end:
            count = min(_SENDFILE_BYTES, end - offset)
            self.count(count)
            sent = os.sendfile(self.socket.fileno(), descriptor, offset, count)
            self.count(sent - count)
            if sent == 0:
                return False
            offset += sent
        return True


def send(content: Content, writer: SocketWriter, offset: int, size: int) -> None:
    """Send ``size`` bytes of ``content`` from ``offset`` on; the content must have them.

    Raises ConnectionError if the client is gone, FileChanged if a file was changed.
    """
    if isinstance(content, JoinedContent):
        _send_parts(content, writer, offset, size)
    elif isinstance(content, FileContent):
        _send_file(content, writer, offset, size)
    else:
        _send_chunks(content, writer, offset, size)


def _send_parts(content: JoinedContent, writer: SocketWriter, offset: int, size: int) -> None:
    for part in content.parts:
        count = min(part.size - offset, size)
        if count > 0:
            send(part, writer, offset, count)
            size -= count
        offset = max(0, offset - part.size)


def _send_file(content: FileContent, writer: SocketWriter, offset: int, size: int) -> None:
    with content.opened() as descriptor:
        if not writer.send_file(descriptor, offset, size):
            raise FileChanged(
                f"{content.path} was changed: it became shorter while it was sent.",
                next_action="build again, and do not let other programs write into the store during the build",
            )


def _send_chunks(content: Content, writer: SocketWriter, offset: int, size: int) -> None:
    for chunk in content.chunks(offset):
        writer.send(chunk[:size])
        size -= len(chunk)
        if size <= 0:
            return
