"""Two A/A series of two pairs; tests/unit/long/test_aa.py has the judgement of their figures."""

from __future__ import annotations

from prebake.docker.connection import Connection
from prebake.io.log import silent
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.long.aa import run_series, summarize
from tests.support.commands.projects import Built


def test_an_image_is_gated_against_itself(engine: Connection, toy: Built) -> None:
    results = run_series(EngineLauncher(engine), toy.tag, 2, 2, silent)
    assert [len(result.pairs) for result in results] == [2, 2]
    outcome = summarize(results, 2, simulated=10)
    assert outcome.findings == []  # two pairs are too few for any verdict
    assert sum("unclear" in line for line in outcome.lines) == 2
