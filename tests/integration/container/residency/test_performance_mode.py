"""Performance mode: everything stays, and graphs on a CPU have prepacked weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoints.components.opener import Opener
from entrypoints.manifest.reader import read_manifest
from entrypoints.processes.timeline import Timeline
from tests.support.container.baking import answer, bake
from tests.support.container.running import Start

FORM = {"values": "1,2,3,4"}


@pytest.mark.parametrize(("prepacks", "disabled"), [(False, "1"), (True, "0")])
def test_weights_are_prepacked_whatever_the_manifest_says(tmp_path: Path, prepacks: bool, disabled: str) -> None:
    bake(tmp_path)
    opener = Opener(tmp_path, read_manifest(tmp_path), Timeline(), None, prepacks=prepacks)
    opener.start(1)
    session = opener.components.session("linear")
    options = session._session.get_session_options()  # type: ignore[attr-defined]
    assert options.get_session_config_entry("session.disable_prepacking") == disabled


def test_nothing_is_unloaded(start: Start) -> None:
    server = start(PREBAKE_MODE="performance", PREBAKE_PRELOAD="lazy", PREBAKE_IDLE_SECONDS="0.1").wait_for("ready")
    assert len(server.find_model_processes()) == 1
    assert server.post(data=FORM).json()["result"] == pytest.approx(answer(1))
    assert server.find_events("unloaded") == []
