"""Which artifacts of a component are kept, by what was measured of each."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrypoints.hardware.facts import find_facts
from prebake.bake.compilers.compiled_artifact import CompiledGraph
from prebake.bake.model_folder.compile_job import CompileJob, weight_files
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.stages.compile_artifacts import ArtifactStage
from prebake.bake.trials.cost_model import Cost
from prebake.documents.component import SessionSettings
from prebake.documents.settings import StageSettings

CPU = "CPUExecutionProvider"
CANDIDATES = ("engine", "engine", "timing-cache", "optimized")


@dataclass(frozen=True)
class Copies:
    """A compiler of the exported graph itself, once for each candidate."""

    def compile(self, component: str, graph: Path, settings: StageSettings, out: Path) -> Sequence[CompiledGraph]:
        made = []
        for number, candidate in enumerate(CANDIDATES):
            folder = Path(shutil.copytree(graph.parent, out / str(number)))
            fallback_for = "engine" if candidate == "timing-cache" else ""
            facts = find_facts(CPU)
            made.append(
                CompiledGraph(
                    candidate=candidate,
                    folder=folder,
                    graph=graph.name,
                    provider=CPU,
                    session=SessionSettings(),
                    requires=facts,
                    key_inputs={"number": number},
                    fallback_for=fallback_for,
                )
            )
        return made


@dataclass(frozen=True)
class Timed(ArtifactStage):
    """With these seconds an answer: of the component's graph, then of each artifact."""

    seconds: Sequence[float] = ()

    def _measure(self, name: str, artifacts: Sequence[CompiledGraph]) -> list[Cost]:
        return [Cost(each, each, each) for each in self.seconds]


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        ((1, 0.5, 0.2, 9, 2), [False, True, True, False]),
        ((1, 0.2, 0.5, 9, 0.5), [True, False, True, True]),
        ((1, 2, 3, 9, 0.5), [False, False, False, True]),
        ((1, 2, 3, 0.1, 2), [False, False, False, False]),
    ],
)
def test_the_best_of_each_candidate_is_kept_if_it_pays_together_with_its_stand_in(
    settings: StageSettings,
    exported: Path,
    checkpoint: Path,
    tmp_path: Path,
    seconds: Sequence[float],
    kept: list[bool],
) -> None:
    for source, path in ((checkpoint, "words"), (exported / "derived", "sound")):
        (tmp_path / "models" / path).mkdir(parents=True)
        shutil.copy(source / path / "model.safetensors", tmp_path / "models" / path)
    job = CompileJob(settings, Exported.load(exported), tmp_path / "models")
    stage = Timed(job, weight_files(job), [Copies()], tmp_path / "out", keep_all=False, seconds=seconds)
    told: list[Mapping[str, object]] = list(stage.run("words"))
    assert [each["name"] for each in told] == list(CANDIDATES)
    assert [each["kept"] for each in told] == kept
    assert len(list((tmp_path / "out").rglob("artifact.json"))) == sum(kept)
