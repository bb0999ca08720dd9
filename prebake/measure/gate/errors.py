"""The errors by which a benchmark ends if its verdict is not ``pass``."""

from __future__ import annotations

from prebake.errors import PrebakeError


class LimitExceeded(PrebakeError):
    """The gate of ``bench`` found that the image exceeds a limit: it starts slower than the baseline by more than
    ``--max-regression``, answers later than ``--max-ttfi``, or is larger than ``--max-image-size``. The message names
    the phases and counters that moved. Or ``bench --check`` found that the image does not start five times as fast as
    the naive image, or that its later answers are slower."""

    exit_code = 46


class VerdictUnclear(PrebakeError):
    """The gate of ``bench`` made ``--max-pairs`` pairs of starts (without a baseline, as many starts), and the
    verdict is still unclear: the machine is too noisy for this limit. The message has the interval and how noisy the
    machine is."""

    exit_code = 69


class BaselineUnusable(PrebakeError):
    """``bench --baseline`` cannot compare with this baseline: it cannot be found, pulled, built or started, it has
    another model, or it has another warm-up request or answer and ``--allow-other-answers`` was not given."""

    exit_code = 82
