"""Two A/A series of two starts; tests/unit/long/test_aa.py has the judgement of their figures."""

from __future__ import annotations

from prebake.docker.connection import Connection
from prebake.io.log import silent
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.long.aa import run_series, summarize
from tests.support.commands.projects import Built


def test_an_image_is_compared_with_itself(engine: Connection, toy: Built) -> None:
    pairs = run_series(EngineLauncher(engine), toy.tag, 2, 2, silent)
    for pair in pairs:
        assert pair.ours.image == pair.theirs.image == toy.tag
        assert [len(each) for each in (pair.ours.ready, pair.ours.ttfi, pair.theirs.ready, pair.theirs.ttfi)] == [2] * 4
        assert pair.ours.ready != pair.theirs.ready  # each side has starts of its own
    text = "\n".join(summarize(pairs).lines)
    assert "| 1 | " in text
    assert "| 2 | " in text
    assert "of 2 intervals leave 1 out" in text
    assert "`--check` would have failed in " in text
