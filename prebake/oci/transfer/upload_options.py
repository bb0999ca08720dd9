"""How blobs are uploaded to a host: what the user set by ``PREBAKE_UPLOAD``, and the limits that the host has shown."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from prebake.errors import PrebakeError
from prebake.io.byte_sizes import format_bytes, parse_bytes
from prebake.oci.errors import unusable

VARIABLE = "PREBAKE_UPLOAD"
BODY_SIZES_BYTES = tuple(size << 10 for size in (64 << 10, 16 << 10, 4 << 10, 1 << 10, 256, 64))
"""Sizes of a request's body that are tried in turn after a 413, from 64 MiB to 64 KiB. nginx allows 1 MiB by default, GHCR 4 MiB
of a chunk, Cloudflare 100 MB."""


class UploadSettingInvalid(PrebakeError):
    """``PREBAKE_UPLOAD`` has a value that Prebake does not know."""

    exit_code = 65


@dataclass(frozen=True)
class UploadSetting:
    """``chunk_bytes`` is the size of chunks, None for the whole blob in one request. ``whole_only`` allows no chunks, even if the
    host refuses a large request."""

    chunk_bytes: int | None = None
    whole_only: bool = False


def read_setting(environ: Mapping[str, str]) -> UploadSetting:
    """``PREBAKE_UPLOAD``: ``auto`` (the default), ``whole``, or the size of chunks. Raises UploadSettingInvalid."""
    text = environ.get(VARIABLE, "").strip()
    if text in ("", "auto", "whole"):
        return UploadSetting(whole_only=text == "whole")
    try:
        return UploadSetting(parse_bytes(text))
    except ValueError as error:
        raise UploadSettingInvalid(
            f"{VARIABLE}={text} is not a valid value.",
            next_action="set it to auto, whole, or a size of chunks such as 16MiB",
        ) from error


@dataclass
class HostLimits:
    """The limits that one host's answers have shown. Threads may share it.

    ``max_body_bytes`` is the largest request that may still pass, after a 413; ``max_chunk_bytes`` the largest chunk, after a
    416. ``no_chunks`` is the reason why the host takes no chunks; empty as long as it has not refused them.
    """

    host: str
    max_body_bytes: int | None = None
    max_chunk_bytes: int | None = None
    no_chunks: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def choose_chunk_bytes(self, size: int, setting: UploadSetting) -> int | None:
        """The size of the chunks of a blob of ``size`` bytes; None if the blob is sent whole.

        Raises RegistryError if the host takes the blob neither whole nor in chunks.
        """
        required = self.requires_chunks(size, setting)
        with self._lock:
            if required and self.no_chunks:
                limit = format_bytes(self.max_body_bytes)
                raise unusable(self.host, f"it takes no request above {limit}, and no chunks: {self.no_chunks}")
            candidates = [] if self.no_chunks else [setting.chunk_bytes]
            candidates += [self.max_body_bytes] if required else []
            sizes = [candidate for candidate in candidates if candidate is not None]
            if not sizes:
                return None
            chunk = min(*sizes, self.max_chunk_bytes or sizes[0], self.max_body_bytes or sizes[0])
            return chunk if chunk < size else None

    def requires_chunks(self, size: int, setting: UploadSetting) -> bool:
        """Whether the host refuses a request with a blob of ``size`` bytes, and chunks are allowed."""
        return self.max_body_bytes is not None and size > self.max_body_bytes and not setting.whole_only

    def record_body_refused(self, size: int, reason: str) -> None:
        """The host answered 413 to a body of ``size`` bytes. Raises RegistryError if no smaller size is left to try."""
        smaller = _next_smaller(size)
        if smaller is None:
            raise unusable(self.host, reason)
        with self._lock:
            self.max_body_bytes = min(smaller, self.max_body_bytes or smaller)

    def record_chunk_refused(self, size: int, reason: str) -> None:
        """The host answered 416 to a chunk of ``size`` bytes that began where the last one ended."""
        smaller = _next_smaller(size)
        if smaller is None:
            self.record_no_chunks(reason)
            return
        with self._lock:
            self.max_chunk_bytes = min(smaller, self.max_chunk_bytes or smaller)

    def record_no_chunks(self, reason: str) -> None:
        """The host takes no chunks; ``reason`` is its answer."""
        with self._lock:
            self.no_chunks = self.no_chunks or reason


def host_limits(host: str) -> HostLimits:
    """The limits of a host that all connections of this process share."""
    with _lock:
        return _limits.setdefault(host, HostLimits(host))


def _next_smaller(size: int) -> int | None:
    return next((smaller for smaller in BODY_SIZES_BYTES if smaller < size), None)


_limits: dict[str, HostLimits] = {}
_lock = threading.Lock()
