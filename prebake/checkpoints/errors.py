"""Errors of sources and of the store."""

from __future__ import annotations

from prebake.errors import InputProblems, NoNetwork, SourceError

_KEPT = "downloaded bytes are kept, and the same command continues after them"


class StoreDamaged(InputProblems):
    """``prebake cache verify`` found objects whose bytes no longer have the digest of their name. The message lists
    all of them."""

    exit_code = 38


def unreachable(where: str, reason: str) -> NoNetwork:
    return NoNetwork(
        f"{where} cannot be reached: {reason}.",
        next_action=f"check the network (HTTPS_PROXY, and SSL_CERT_FILE behind a company's proxy); {_KEPT}",
    )


def unusable(where: str, reason: str) -> SourceError:
    return SourceError(f"{where}: {reason}.", next_action=f"try again later; {_KEPT}")
