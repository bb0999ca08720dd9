"""Comparing downloaded bytes with the sha256 and size in ``weights.lock``."""

from __future__ import annotations

from prebake.errors import ChecksumMismatch

_NEXT = (
    "the wrong bytes were removed; if the publisher changed the file on purpose, lock again and review the difference"
)


def expect_sha256(name: str, expected: str | None, found: str, *, origin: str) -> None:
    """Raise ChecksumMismatch unless the sha256 is the expected one (None: any)."""
    if expected is not None and found != expected:
        raise _mismatch(name, origin, f"sha256 {expected}", f"sha256 {found}")


def expect_size(name: str, expected: int | None, found: int, *, origin: str) -> None:
    """Raise ChecksumMismatch unless the size, in bytes, is the expected one (None: any)."""
    if expected is not None and found != expected:
        raise _mismatch(name, origin, f"{expected} bytes", f"{found} bytes")


def _mismatch(name: str, origin: str, expected: str, found: str) -> ChecksumMismatch:
    return ChecksumMismatch(
        f"{name} is not the file that weights.lock pins:\n"
        f"  expected {expected}\n  found    {found}\n  origin   {origin}",
        next_action=_NEXT,
    )
