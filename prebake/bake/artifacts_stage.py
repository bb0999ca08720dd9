"""The artifacts stage: what this machine compiles of an exported image for itself and its like, compared and measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from prebake.bake import parity
from prebake.bake.artifact_file import label_of
from prebake.bake.artifacts import ArtifactMaker, Made, artifact_fields, describe, find_makers
from prebake.bake.benefit import measure_benefit, pays
from prebake.bake.compile import compare_with_cases, compile_component
from prebake.bake.compile_key import key_fields
from prebake.bake.documents import canonical_json, digest_json
from prebake.bake.errors import BakeError, ParityFailed
from prebake.bake.exported import Exported
from prebake.bake.job import Files, Job, check_components, place_graph, weight_files
from prebake.bake.sessions import open_session
from prebake.bake.settings import REPORT, Settings
from prebake.errors import PrebakeError


def make_artifacts(settings: Settings, exported: Path, models: Path, out: Path, *, keep_all: bool = False) -> None:
    """Compile every component; ``out/compiled/<component>/<label>`` gets each artifact and its ``artifact.json``, but for those
    that do not pay their bytes and are not kept all the same, and ``out/report.json`` tells of all.

    Raises ParityFailed where one answers otherwise than the framework, and BakeError where nothing makes any, or where making
    one failed: after every component was tried, with all of their faults.
    """
    job = Job(settings, Exported.load(exported), models)
    told = list((_of_networks if settings.runtime == "torch" else _of_graphs)(job, out, keep_all))
    out.mkdir(parents=True, exist_ok=True)
    (out / REPORT).write_bytes(canonical_json({"artifacts": told}))


def _of_graphs(job: Job, out: Path, keep_all: bool) -> Iterator[dict[str, object]]:
    makers = find_makers(job.settings)
    check_components(job)
    stage = Stage(job, weight_files(job), makers, out, keep_all)
    yield from stage.run(*sorted(job.settings.components))


def _of_networks(job: Job, out: Path, keep_all: bool) -> Iterator[dict[str, object]]:
    from prebake.bake.network_artifacts import make_network_artifacts  # with torch, which graphs need not

    return make_network_artifacts(job, out, keep_all=keep_all)


@dataclass(frozen=True)
class Stage:
    job: Job
    weights: Files
    makers: Sequence[ArtifactMaker]
    out: Path
    keep_all: bool

    def run(self, *names: str) -> Iterator[dict[str, object]]:
        """These components: what became of each artifact. Nothing is kept where one of any of them is at fault."""
        with TemporaryDirectory(prefix="artifacts-", dir=self.job.models) as folder:
            for name, each in self._tried(names, Path(folder)):
                yield self._keep(name, each)

    def _tried(self, names: Sequence[str], folder: Path) -> list[tuple[str, Made]]:
        made, findings, faults = list[tuple[str, Made]](), list[parity.Finding](), list[PrebakeError]()
        for name in names:
            (folder / name).mkdir()
            try:
                own = self._made(name, folder / name)
                compile_component(self.job, name, self.weights)  # what a start without artifacts opens
            except BakeError as error:
                faults.append(error)
            else:
                findings += [finding for each in own for finding in self._compare(name, each)]
                made += [(name, each) for each in own]
        try:
            parity.check(findings)
        except ParityFailed as error:
            faults.append(error)
        _raise(faults)
        return made

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
        figures = self._measure(name, made, size)
        kept = self.keep_all or pays(figures)
        if kept:
            describe(name, made, fields, figures).write(made.folder, self.out)
        saved = f"saves {figures['saved_seconds']:.4f} s, its {size} bytes take {figures['pull_seconds']:.4f} s"
        print(f"{name}: artifact {label_of(made.rung, key)} {'kept' if kept else 'left out'}: {saved}", file=sys.stderr)
        return {"component": name, "rung": made.rung, "key": key, "kept": kept, "for": dict(made.fields), **figures}

    def _measure(self, name: str, made: Made, size: int) -> dict[str, float | int]:
        own = self.job.settings.components[name]
        return measure_benefit(
            lambda: open_session(made.folder / made.graph, made.session, [made.provider]),
            lambda: open_session(self.job.graph(name), own.session, own.providers),
            self.job.exported.cases(name)[0],
            size,
        )


def _raise(faults: Sequence[PrebakeError]) -> None:
    """One fault as it is, several as one."""
    if len(faults) == 1:
        raise faults[0]
    if faults:
        steps = dict.fromkeys(each.next_action for each in faults)
        raise BakeError("\n".join(each.message for each in faults), next_action="; ".join(steps))
