"""Places as ``--output`` and ``--push`` name them."""

from __future__ import annotations

from typing import cast

import pytest

from prebake.engine.connection import Connection
from prebake.workflow.outputs import OutputInvalid, read_output

NOBODY = cast(Connection, None)


def test_a_push_by_digest_is_refused_and_not_made_to_latest() -> None:
    with pytest.raises(OutputInvalid) as caught:
        read_output(f"registry:host.example/toy:v1@sha256:{'0' * 64}", NOBODY, "toy", lambda line: None)
    assert caught.value.next_action == "name a tag: host.example/toy:v1"
