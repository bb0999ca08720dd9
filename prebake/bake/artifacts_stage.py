"""The artifacts stage: what this machine compiles of an exported image for itself and its like, compared and measured."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from prebake.bake import parity
from prebake.bake.artifact_file import FOLDER, GRAPH, NAME, ArtifactFile, label_of
from prebake.bake.artifacts import ArtifactMaker, Made, artifact_fields, describe, find_makers
from prebake.bake.compile import (
    Files,
    Job,
    check_components,
    compare_with_cases,
    compile_component,
    key_fields,
    place_graph,
    weight_files,
)
from prebake.bake.documents import canonical_json, digest_json
from prebake.bake.exported import Exported
from prebake.bake.graph_trials import try_graphs
from prebake.bake.sessions import open_session
from prebake.bake.settings import REPORT, Settings
from prebake.bake.worth import ANSWERS, Figures, choose, explain


def make_artifacts(settings: Settings, exported: Path, models: Path, out: Path, *, keep_all: bool = False) -> None:
    """Compile every component; ``out/compiled/<component>/<label>`` gets each artifact and its ``artifact.json``, but for those
    that do not pay their bytes and are not kept all the same, and ``out/report.json`` tells of all.

    Raises ParityFailed where one answers otherwise than the framework, and BakeError where nothing makes any.
    """
    job = Job(settings, Exported.load(exported), models)
    makers = find_makers(settings)
    check_components(job)
    weights = weight_files(job)
    stage = Stage(job, weights, makers, out, keep_all)
    told = [each for name in sorted(settings.components) for each in stage.run(name)]
    out.mkdir(parents=True, exist_ok=True)
    (out / REPORT).write_bytes(canonical_json({"artifacts": told}))


@dataclass(frozen=True)
class Stage:
    job: Job
    weights: Files
    makers: Sequence[ArtifactMaker]
    out: Path
    keep_all: bool

    def run(self, name: str) -> Iterator[dict[str, object]]:
        """One component: what became of each artifact of it."""
        with TemporaryDirectory(prefix="artifacts-", dir=self.job.models) as folder:
            made = self._made(name, Path(folder))
            compile_component(self.job, name, self.weights)  # what a start without artifacts opens
            parity.check([finding for each in made for finding in self._compare(name, each)])
            for each in made:
                yield self._keep(name, each)

    def _made(self, name: str, folder: Path) -> list[Made]:
        place_graph(self.job, name)
        found: list[Made] = []
        for number, maker in enumerate(self.makers):
            (folder / str(number)).mkdir()
            found += maker.make(name, self.job.graph(name), self.job.settings, folder / str(number))
        return found

    def _compare(self, name: str, made: Made) -> tuple[parity.Finding, ...]:
        return compare_with_cases(self.job, name, open_session(made.folder / made.graph, made.session, [made.provider]))

    def _keep(self, name: str, made: Made) -> dict[str, object]:
        fields = artifact_fields(key_fields(self.job, name, self.weights), made)
        key = digest_json(fields)
        size = sum(path.stat().st_size for path in made.folder.rglob("*") if path.is_file())
        ways = self._measure(name, made, size)
        choice = explain(ways, choose(ways))
        kept = self.keep_all or choice["chosen"] == made.rung
        if kept:
            _write(describe(name, made, fields, choice), made, self.out)
        saved = f"{ways[GRAPH].seconds - ways[made.rung].seconds:.4f} s until {ANSWERS} answers"
        said = f"saves {saved}, its {size} bytes take {ways[made.rung].pull:.4f} s"
        print(f"{name}: artifact {label_of(made.rung, key)} {'kept' if kept else 'left out'}: {said}", file=sys.stderr)
        told = {"component": name, "rung": made.rung, "key": key, "kept": kept, "for": dict(made.fields)}
        return {**told, "bytes": size, "choice": choice}

    def _measure(self, name: str, made: Made, size: int) -> dict[str, Figures]:
        """The component's graph, which is opened without it, and the artifact."""
        own = self.job.settings.components[name]
        graphs = {
            GRAPH: partial(open_session, self.job.graph(name), own.session, own.providers),
            made.rung: partial(open_session, made.folder / made.graph, made.session, [made.provider]),
        }
        sizes = {GRAPH: 0, made.rung: size}
        found = try_graphs(graphs, self.job.exported.case(name, 0))
        return {way: Figures(*seconds, sizes[way]) for way, seconds in found.items()}


def _write(artifact: ArtifactFile, made: Made, out: Path) -> None:
    home = out / FOLDER / artifact.component / artifact.label
    home.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made.folder, home)
    (home / NAME).write_bytes(artifact.to_json())
