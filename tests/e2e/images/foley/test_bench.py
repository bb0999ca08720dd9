"""The benchmark against the naive image: what it writes is what it saw. How fast is for ``make bench`` to say."""

from __future__ import annotations

import json

from tests.support.commands.projects import Built


def test_a_bench_writes_what_it_saw(foley: Built) -> None:
    ended = foley.project.run("bench", "--model", "foley", "--tag", foley.tag, "--runs", "1", "--json").expect(0)
    folder = foley.project.root / "build" / "bench"
    found = json.loads(ended.stdout)
    assert json.loads((folder / "foley.json").read_text()) == found
    (run,) = found["runs"]
    assert (found["ttfi_seconds"], found["naive_ttfi_seconds"]) == (run["ttfi_seconds"], run["naive_ttfi_seconds"])
    assert 0 < found["import_seconds"] < found["ready_seconds"] == run["ready_seconds"]
    assert found["floor_seconds"] > 0
    assert found["ratio"] == found["naive_ttfi_seconds"] / found["ttfi_seconds"]
    assert found["steady"]["runs"] == found["naive_steady"]["runs"] > 0
    assert found["steady_ratio"] == found["naive_steady_seconds"] / found["steady_seconds"]
    assert [bound["ratio"] for bound in found["bounds"]] == [found["ratio"], found["steady_ratio"]]
    assert (folder / "foley.svg").read_text().startswith("<svg ")
