"""gzip with the same bytes on every machine, by several threads: each block of fixed size is a member (RFC 1952 section 2.2).

libdeflate's output depends only on the data, the level and its version, which pyproject.toml pins. zlib's depends on the zlib
that Python was built with, and ISA-L's on the processor. docs/decisions/0025-gzip-by-libdeflate.md.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import deflate

LEVEL = 6
MEMBER_BYTES = 4 << 20
"""Uncompressed bytes of a member. Like the level, it decides the output."""
_MAX_THREADS = 8  # each holds at most two members, which bounds memory on machines with many processors


def gzip_members(chunks: Iterable[memoryview], threads: int | None = None) -> Iterator[bytes]:
    """The compressed members, in order."""
    threads = threads or min(_MAX_THREADS, os.cpu_count() or 1)
    pending: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="gzip") as pool:
        for block in _blocks(chunks):
            pending.append(pool.submit(_member, block))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _member(block: bytes | bytearray) -> bytes:
    """The header has no name and no time."""
    return bytes(deflate.gzip_compress(block, LEVEL))


def _blocks(chunks: Iterable[memoryview]) -> Iterator[bytearray]:
    """Blocks of MEMBER_BYTES; the last may be shorter. If there are no bytes, one empty block."""
    block, first = bytearray(), True
    for chunk in chunks:
        rest = chunk
        while len(block) + len(rest) > MEMBER_BYTES:
            taken = MEMBER_BYTES - len(block)
            block += rest[:taken]
            rest = rest[taken:]
            yield block
            block, first = bytearray(), False
        block += rest
    if block or first:
        yield block
