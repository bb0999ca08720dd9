"""Which artifacts of a component are kept, by what was measured of each."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrypoints.machine import find_facts
from prebake.bake.artifacts import Made
from prebake.bake.artifacts_stage import Stage
from prebake.bake.component import Session
from prebake.bake.exported import Exported
from prebake.bake.job import Job, weight_files
from prebake.bake.settings import Settings
from prebake.bake.worth import Figures

CPU = "CPUExecutionProvider"
RUNGS = ("engine", "engine", "timing-cache", "optimised")


@dataclass(frozen=True)
class Copies:
    """A maker of the exported graph itself, once for each rung."""

    def make(self, component: str, graph: Path, settings: Settings, out: Path) -> Sequence[Made]:
        made = []
        for number, rung in enumerate(RUNGS):
            folder = Path(shutil.copytree(graph.parent, out / str(number)))
            stands_in_for = "engine" if rung == "timing-cache" else ""
            facts = find_facts(CPU)
            made.append(
                Made(
                    rung,
                    folder,
                    graph.name,
                    CPU,
                    Session(),
                    facts,
                    more={"number": number},
                    stands_in_for=stands_in_for,
                )
            )
        return made


@dataclass(frozen=True)
class Timed(Stage):
    """With these seconds an answer: of the component's graph, then of each artifact."""

    seconds: Sequence[float] = ()

    def _measure(self, name: str, made: Sequence[Made]) -> list[Figures]:
        return [Figures(each, each, each) for each in self.seconds]


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        ((1, 0.5, 0.2, 9, 2), [False, True, True, False]),
        ((1, 0.2, 0.5, 9, 0.5), [True, False, True, True]),
        ((1, 2, 3, 9, 0.5), [False, False, False, True]),
        ((1, 2, 3, 0.1, 2), [False, False, False, False]),
    ],
)
def test_the_best_of_a_rung_is_kept_where_it_pays_and_what_stands_in_for_it_with_it(
    settings: Settings, exported: Path, checkpoint: Path, tmp_path: Path, seconds: Sequence[float], kept: list[bool]
) -> None:
    for source, path in ((checkpoint, "words"), (exported / "derived", "sound")):
        (tmp_path / "models" / path).mkdir(parents=True)
        shutil.copy(source / path / "model.safetensors", tmp_path / "models" / path)
    job = Job(settings, Exported.load(exported), tmp_path / "models")
    stage = Timed(job, weight_files(job), [Copies()], tmp_path / "out", keep_all=False, seconds=seconds)
    told: list[Mapping[str, object]] = list(stage.run("words"))
    assert [each["rung"] for each in told] == list(RUNGS)
    assert [each["kept"] for each in told] == kept
    assert len(list((tmp_path / "out").rglob("artifact.json"))) == sum(kept)
