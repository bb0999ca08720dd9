"""How uploads are sent to a host: what the user asked for, and what the host was found to take, kept for the run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from prebake.errors import PrebakeError
from prebake.oci.errors import unusable
from prebake.sizes import read_bytes, show_bytes

VARIABLE = "PREBAKE_UPLOAD"
SIZES = tuple(size << 10 for size in (64 << 10, 16 << 10, 4 << 10, 1 << 10, 256, 64))
"""Bytes of a request's body that are tried in turn after a 413, from 64 MiB to 64 KiB. nginx allows 1 MiB by default,
GHCR 4 MiB of a chunk, Cloudflare 100 MB."""


class UploadSettingInvalid(PrebakeError):
    """``PREBAKE_UPLOAD`` is not understood."""

    exit_code = 65


@dataclass(frozen=True)
class UploadSetting:
    """``piece``: bytes of a piece, or None for the whole blob in one request. ``fixed``: a 413 changes nothing."""

    piece: int | None = None
    fixed: bool = False


def read_setting(environ: Mapping[str, str]) -> UploadSetting:
    """``PREBAKE_UPLOAD``: ``auto`` (the default), ``whole``, or the size of pieces. Raises UploadSettingInvalid."""
    text = environ.get(VARIABLE, "").strip()
    if text in ("", "auto", "whole"):
        return UploadSetting(fixed=text == "whole")
    try:
        return UploadSetting(read_bytes(text))
    except ValueError as error:
        raise UploadSettingInvalid(
            f"{VARIABLE}={text} is not understood.",
            next_action="set it to auto, whole, or the size of pieces such as 16MiB",
        ) from error


@dataclass
class Habits:
    """What one host was found to take. Threads may share it.

    ``body_limit``: bytes of a request that may still pass, after a 413. ``piece_limit``: the same of a piece, after a 416.
    ``no_pieces``: why the host takes no pieces; empty while it is not known to refuse them.
    """

    host: str
    body_limit: int | None = None
    piece_limit: int | None = None
    no_pieces: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def piece_of(self, size: int, setting: UploadSetting) -> int | None:
        """Bytes of each piece of a blob of ``size`` bytes; None where the blob goes whole.

        Raises RegistryError where the host takes the blob neither whole nor in pieces.
        """
        forced = self.forces_pieces(size, setting)
        with self._lock:
            if forced and self.no_pieces:
                limit = show_bytes(self.body_limit)
                raise unusable(self.host, f"it takes no request above {limit}, and no pieces: {self.no_pieces}")
            wanted = [] if self.no_pieces else [setting.piece]
            wanted += [self.body_limit] if forced else []
            known = [each for each in wanted if each is not None]
            if not known:
                return None
            piece = min(*known, self.piece_limit or known[0], self.body_limit or known[0])
            return piece if piece < size else None

    def forces_pieces(self, size: int, setting: UploadSetting) -> bool:
        """Whether a blob of ``size`` bytes does not go whole."""
        return self.body_limit is not None and size > self.body_limit and not setting.fixed

    def refuse_body(self, size: int, reason: str) -> None:
        """The host answered 413 to a body of ``size`` bytes. Raises RegistryError where none smaller is left to try."""
        smaller = _below(size)
        if smaller is None:
            raise unusable(self.host, reason)
        with self._lock:
            self.body_limit = min(smaller, self.body_limit or smaller)

    def refuse_piece(self, size: int, reason: str) -> None:
        """The host answered 416 to a piece of ``size`` bytes that began where the last one ended."""
        smaller = _below(size)
        if smaller is None:
            self.refuse_pieces(reason)
            return
        with self._lock:
            self.piece_limit = min(smaller, self.piece_limit or smaller)

    def refuse_pieces(self, reason: str) -> None:
        """The host takes no pieces, and answered this."""
        with self._lock:
            self.no_pieces = self.no_pieces or reason


def habits_of(host: str) -> Habits:
    """The one for all connections of this process to a host."""
    with _lock:
        return _known.setdefault(host, Habits(host))


def _below(size: int) -> int | None:
    return next((each for each in SIZES if each < size), None)


_known: dict[str, Habits] = {}
_lock = threading.Lock()
