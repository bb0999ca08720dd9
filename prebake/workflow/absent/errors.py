"""The error of a machine that cannot be made to lack an image."""

from __future__ import annotations

from prebake.errors import PrebakeError


class StateUnavailable(PrebakeError):
    """``bench --state absent`` cannot make its network: that takes Linux, root, the right to make network namespaces,
    and the programs ``ip`` and ``tc``. The message lists everything that is missing."""

    exit_code = 43
