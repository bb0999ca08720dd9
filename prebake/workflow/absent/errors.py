"""The error of a machine whose state cannot be made for a start."""

from __future__ import annotations

from prebake.errors import PrebakeError


class StateUnavailable(PrebakeError):
    """``bench --state cold`` cannot drop the page cache, which takes Linux and root. Or ``bench --state absent`` cannot
    make its network: that takes the right to make network namespaces, and the programs ``ip`` and ``tc``, too. The
    message lists everything that is missing."""

    exit_code = 43
