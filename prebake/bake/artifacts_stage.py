"""The artifacts stage: what this machine compiles of an exported image for itself and its like, compared and measured."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime as ort

from entrypoints.buckets import Bucketing
from prebake.bake import parity
from prebake.bake.artifact_file import label_of
from prebake.bake.artifacts import ArtifactMaker, Made, artifact_fields, describe, find_makers
from prebake.bake.benefit import measure_benefit, pays, surplus
from prebake.bake.buckets import Proof, Tensors, bucketing_of, check_buckets
from prebake.bake.compile import bound_of, compare_with_cases, compile_component
from prebake.bake.compile_key import key_fields
from prebake.bake.documents import canonical_json, digest_json
from prebake.bake.errors import BakeError, ParityFailed
from prebake.bake.exported import Exported
from prebake.bake.graph_files import load
from prebake.bake.job import Files, Job, check_components, place_graph, weight_files
from prebake.bake.profiles import check_profiles
from prebake.bake.provider_options import TENSORRT, Graph, is_fixed, options_for
from prebake.bake.sessions import WEIGHTS_FOLDER, open_with, session_options
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
    check_shapes(job)
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
            tried = self._tried(names, Path(folder))
            measured = [(name, each, self._measure(name, each)) for name, each in tried]
            for name, each, figures in measured:
                rivals = [other for its, also, other in measured if (its, also.rung) == (name, each.rung)]
                better = any(surplus(other) > surplus(figures) for other in rivals)
                yield self._keep(name, each, figures, self.keep_all or (pays(figures) and not better))

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
        session, own = open_made(made, self.job.models), self.job.settings.components[name]
        if not own.buckets:
            return compare_with_cases(self.job, name, session)
        bound, relative = bound_of(self.job, name)
        proof = Proof(name, session, self._bucketing(name), bound, relative, self._open_graph(name))
        return tuple(proof.findings(self.job.exported.cases(name)))

    def _bucketing(self, name: str) -> Bucketing:
        return bucketing_of(self.job.settings.components[name], Tensors.read(load(self.job.graph(name))))

    def _asked(self, name: str) -> parity.Case:
        """The first case as the container asks a component of it."""
        case = self.job.exported.cases(name)[0]
        if not self.job.settings.components[name].buckets:
            return case
        bucketing = self._bucketing(name)
        shape = bucketing.choose(bucketing.measure(case.inputs))
        if shape is None:
            return parity.Case(bucketing.fit(case.inputs, bucketing.shapes[0]), case.outputs)
        return parity.Case(bucketing.fill(case.inputs, shape), case.outputs)

    def _keep(self, name: str, made: Made, figures: dict[str, float | int], kept: bool) -> dict[str, object]:
        fields = artifact_fields(key_fields(self.job, name, self.weights), made)
        key = digest_json(fields)
        if kept:
            describe(name, made, fields, figures).write(made.folder, self.out)
        saved = (
            f"saves {figures['saved_seconds']:.4f} s, its {figures['bytes']} bytes take {figures['pull_seconds']:.4f} s"
        )
        print(f"{name}: artifact {label_of(made.rung, key)} {'kept' if kept else 'left out'}: {saved}", file=sys.stderr)
        return {"component": name, "rung": made.rung, "key": key, "kept": kept, "for": dict(made.fields), **figures}

    def _measure(self, name: str, made: Made) -> dict[str, float | int]:
        size = sum(path.stat().st_size for path in made.folder.rglob("*") if path.is_file())
        return measure_benefit(
            lambda: open_made(made, self.job.models),
            lambda: self._open_graph(name),
            self._asked(name),
            size,
        )

    def _open_graph(self, name: str) -> ort.InferenceSession:
        """As a start does without artifacts, which compiles nothing."""
        own, graph = self.job.settings.components[name], self.job.graph(name)
        about = Graph(name, own.precision.type, is_fixed(load(graph)))
        providers = tuple(each for each in own.providers if each != TENSORRT)
        said = options_for(about, providers, own.options)
        return open_with(graph, session_options(own.session), {each: said.get(each, {}) for each in providers})


def _raise(faults: Sequence[PrebakeError]) -> None:
    """One fault as it is, several as one."""
    if len(faults) == 1:
        raise faults[0]
    if faults:
        steps = dict.fromkeys(each.next_action for each in faults)
        raise BakeError("\n".join(each.message for each in faults), next_action="; ".join(steps))


def check_shapes(job: Job) -> None:
    """Raise SpecInvalid for buckets that the graphs cannot take, and where engines are made for inputs that have none."""
    names = job.settings.components
    tensors = {name: Tensors.read(load(job.exported.graph(name))) for name in names}
    check_buckets(job.settings, tensors, {name: job.exported.components[name].ranges for name in names})
    if job.settings.target == "tensorrt":
        check_profiles(job.settings, tensors)


def open_made(made: Made, models: Path) -> ort.InferenceSession:
    """As the container will."""
    options = session_options(made.session)
    if made.weights:
        options.add_session_config_entry(WEIGHTS_FOLDER, str(models / made.weights))
    folders = {name: str(models / path) for name, path in made.folders.items()}
    if made.scratch is None:
        return open_with(made.folder / made.graph, options, {made.provider: {**made.options, **folders}})
    with TemporaryDirectory(prefix="scratch-") as scratch:
        shutil.copytree(made.folder, scratch, dirs_exist_ok=True)
        given = {**made.options, **folders, **dict.fromkeys(made.scratch, scratch)}
        graph = models / made.opens if made.opens else Path(scratch, made.graph)
        return open_with(graph, options, {made.provider: given})
