from __future__ import annotations

import json

from tests.projects import Built, Project


def test_a_slower_start_shows_against_what_was_there_before(project: Project, toy: Built, tag: str) -> None:
    model = project.root / "images" / "toy" / "model.py"
    model.write_text(model.read_text() + "\n\nimport time\n\ntime.sleep(1)\n")
    ended = project.run("bench", "--model", "toy", "--tag", tag, "--against", toy.tag, "--runs", "2", "--json").expect(
        0
    )
    found = json.loads(ended.stdout)
    assert (found["image"], found["against"]) == (tag, toy.tag)
    for figures in (found["ready"], found["ttfi"]):
        assert len(figures["runs"]) == 2
        assert figures["seconds"] > 1
        assert figures["ratio"] < 1
        assert figures["ratio_interval_95"][1] < 1
    assert json.loads((project.root / "build" / "bench" / "toy-against.json").read_text()) == found
