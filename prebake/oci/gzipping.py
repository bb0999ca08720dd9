"""gzip with the same bytes on every machine, on several threads: a member for each block of fixed size (RFC 1952 section 2.2).

libdeflate writes them: its bytes follow from the data, the level and its version (pinned in pyproject.toml) alone. zlib's
depend on which zlib a Python was built with, and ISA-L's on the processor. docs/decisions/0025-gzip-by-libdeflate.md.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import deflate

LEVEL = 6
MEMBER = 4 << 20
"""Plain bytes of a member. It decides the bytes that are written, as the level does."""
_MOST_THREADS = 8  # each holds two members at most: memory stays bounded where there are many processors


def gzip_members(chunks: Iterable[memoryview], threads: int | None = None) -> Iterator[bytes]:
    """One member after the other."""
    threads = threads or min(_MOST_THREADS, os.cpu_count() or 1)
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
    """Of MEMBER bytes, but for the last; one that is empty if there are no bytes at all."""
    block, first = bytearray(), True
    for chunk in chunks:
        rest = chunk
        while len(block) + len(rest) > MEMBER:
            taken = MEMBER - len(block)
            block += rest[:taken]
            rest = rest[taken:]
            yield block
            block, first = bytearray(), False
        block += rest
    if block or first:
        yield block
