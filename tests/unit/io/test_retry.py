"""How long is waited between attempts, and what it comes to where none succeeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prebake.checkpoints import errors as sources
from prebake.errors import NoNetwork, PrebakeError, SourceError
from prebake.io.retry import RetryPolicy, RetryState, TransientError, retry
from prebake.oci import errors as registries
from prebake.oci.errors import RegistryError, RegistryUnreachable


def test_the_waits_grow_and_are_bounded() -> None:
    retry_policy = RetryPolicy(initial_delay=1.0, max_delay=5.0)
    for failures, most in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (40, 5.0)):
        delays = [retry_policy.delay(failures) for _ in range(50)]
        assert most / 2 <= min(delays) <= max(delays) <= most
        assert len(set(delays)) > 1


@pytest.mark.parametrize(
    ("becomes", "error"),
    [
        (sources.unreachable, NoNetwork),
        (sources.unusable, SourceError),
        (registries.unreachable, RegistryUnreachable),
        (registries.unusable, RegistryError),
    ],
)
def test_patience_ends(becomes: Callable[[str, str], PrebakeError], error: type[Exception]) -> None:
    pauses: list[float] = []
    said: list[str] = []
    retry_policy = RetryPolicy(attempts=4, pause=pauses.append)

    def attempt() -> None:
        raise TransientError("no answer", to_error=becomes)

    with pytest.raises(error, match=r"there.*no answer, 4 times in a row"):
        retry(attempt, RetryState(retry_policy, "there", said.append))
    assert len(pauses) == len(said) == 3
