from __future__ import annotations

import json

from prebake.docker.connection import Connection
from prebake.io.log import silent
from prebake.measure.bench.pair import Pair, Series, run_pair
from prebake.workflow.bench import BoundMissed
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.support.commands.projects import Built, Project


def test_a_slower_start_shows_against_what_was_there_before_and_a_check_fails(
    project: Project, toy: Built, tag: str
) -> None:
    model = project.root / "images" / "toy" / "model.py"
    model.write_text(model.read_text() + "\n\nimport time\n\ntime.sleep(1)\n")
    words = ("bench", "--model", "toy", "--tag", tag, "--against", toy.tag, "--runs", "2", "--json")
    found = json.loads(project.run(*words).expect(0).stdout)
    assert (found["image"], found["against"]) == (tag, toy.tag)
    for figures in (found["ready"], found["ttfi"]):
        assert len(figures["runs"]) == 2
        assert figures["seconds"] > 1
        assert figures["ratio"] < 1
        assert figures["ratio_interval_95"][1] < 1
    assert json.loads((project.root / "build" / "bench" / "toy-against.json").read_text()) == found
    checked = project.run(*words, "--check").expect(BoundMissed.exit_code)
    assert {each["name"]: each["state"] for each in json.loads(checked.stdout)["bounds"]} == {
        "ready": "missed",
        "first answer": "missed",
    }
    assert f"Compared with {toy.tag}, the image is slower than its bounds allow" in checked.stderr
    # The other way round the change is a gain.
    faster = ("bench", "toy", "--tag", toy.tag, "--against", tag, "--runs", "2", "--check")
    assert "at least 0.95: met" in toy.project.run(*faster).expect(0).stdout


def test_each_start_of_a_pair_is_made_cold_if_that_is_asked_for(engine: Connection, toy: Built) -> None:
    dropped: list[int] = []
    launcher = EngineLauncher(engine)
    pair = run_pair(launcher, toy.tag, toy.tag, runs=1, log=silent, before=lambda: dropped.append(1), cache="cold")
    assert len(dropped) == 8  # two images, ready and first answer of each, once uncounted and once counted
    for series in (pair.ours, pair.theirs):  # of one image too, each side has its own starts
        assert (len(series.ready), len(series.ttfi)) == (1, 1)
    assert pair.document()["page_cache"] == "cold"
    assert "page cache cold" in pair.table()


def test_what_a_machine_drifts_by_is_no_slower_start() -> None:
    def against(seconds: float) -> list[str]:
        ours, theirs = Series("now", [seconds] * 5, [seconds] * 5), Series("before", [1.0] * 5, [1.0] * 5)
        return [bound.state for bound in Pair(ours, theirs).bounds]

    assert against(0.5) == against(1.0) == against(1.04) == ["met", "met"]
    assert against(1.06) == ["missed", "missed"]
