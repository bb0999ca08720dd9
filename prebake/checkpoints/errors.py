"""What goes wrong with sources and with the store."""

from __future__ import annotations

from prebake.errors import InputProblems, NoNetwork, SourceError

_KEPT = "what was downloaded is kept, and the same command goes on from there"


class StoreDamaged(InputProblems):
    """Objects of the store are no longer what their names say."""

    exit_code = 38


def unreachable(where: str, reason: str) -> NoNetwork:
    return NoNetwork(
        f"{where} cannot be reached: {reason}.",
        next_action=f"check the network (HTTPS_PROXY, and SSL_CERT_FILE behind a company's proxy); {_KEPT}",
    )


def unusable(where: str, reason: str) -> SourceError:
    return SourceError(f"{where}: {reason}.", next_action=f"try again later; {_KEPT}")
