"""The artifacts stage: what this machine compiles of an exported image for itself and its like, compared and measured."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime as ort

from entrypoints.buckets import Bucketing
from entrypoints.shapes import RANGE
from prebake.bake import parity
from prebake.bake.arrays import Array
from prebake.bake.artifact_file import label_of
from prebake.bake.artifacts import ArtifactMaker, Made, artifact_fields, describe, find_makers
from prebake.bake.buckets import Proof, Tensors, bucketing_of, check_buckets
from prebake.bake.compile import bound_of, compare_with_cases, compile_component, session_of
from prebake.bake.compile_key import key_fields
from prebake.bake.component import Session
from prebake.bake.documents import canonical_json, digest_json
from prebake.bake.errors import BakeError, ParityFailed
from prebake.bake.exported import Exported
from prebake.bake.graph_files import load
from prebake.bake.graph_trials import Open, try_graphs
from prebake.bake.job import Files, Job, check_components, place_graph, weight_files
from prebake.bake.profiles import check_profiles
from prebake.bake.provider_options import TENSORRT, Graph, is_fixed, options_for
from prebake.bake.sessions import WEIGHTS_FOLDER, open_with, session_options
from prebake.bake.settings import REPORT, Settings
from prebake.bake.worth import ANSWERS, GRAPH, Figures, choose, judge
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
            for name in names:
                yield from self._settle(name, [each for its, each in tried if its == name])

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
        reference = graph_opener(self.job, name)()
        ranging = made.takes == RANGE and own.outside == "dynamic"
        proof = Proof(name, session, self._bucketing(name), bound, relative, reference, ranging)
        return tuple(proof.findings(self.job.exported.cases(name)))

    def _bucketing(self, name: str) -> Bucketing:
        return bucketing_of(self.job.settings.components[name], Tensors.read(load(self.job.graph(name))))

    def _asked(self, name: str) -> Mapping[str, Array]:
        """The first case's inputs as the container asks a component of them."""
        inputs = self.job.exported.cases(name)[0].inputs
        if not self.job.settings.components[name].buckets:
            return inputs
        bucketing = self._bucketing(name)
        shape = bucketing.choose(bucketing.measure(inputs))
        first = self.job.settings.components[name].buckets[0]
        return bucketing.fit(inputs, first) if shape is None else bucketing.fill(inputs, shape)

    def _settle(self, name: str, made: Sequence[Made]) -> Iterator[dict[str, object]]:
        """Of each rung the best is kept, where it pays; and what is there for the day when a rung does not fit, where that is."""
        if not made:
            return
        graph, *figures = self._measure(name, made)
        paid: set[str] = set()
        for rung in dict.fromkeys(each.rung for each in made):
            own = [(each, its) for each, its in zip(made, figures, strict=True) if each.rung == rung]
            named = {f"{rung} {number}" if number > 1 else rung: pair for number, pair in enumerate(own, 1)}
            ways = {GRAPH: graph, **{way: its for way, (_, its) in named.items()}}
            chosen = choose(ways)
            paid.update([rung] if chosen != GRAPH else [])
            for way, (each, _) in named.items():
                kept = each.stands_in_for in paid if each.stands_in_for else way == chosen
                yield self._keep(name, each, way, ways, self.keep_all or kept)

    def _keep(self, name: str, made: Made, way: str, ways: Mapping[str, Figures], kept: bool) -> dict[str, object]:
        fields = artifact_fields(key_fields(self.job, name, self.weights), made)
        key, choice = digest_json(fields), judge(ways, way, choose(ways))
        if kept:
            describe(name, made, fields, choice).write(made.folder, self.out)
        saved = f"{ways[GRAPH].seconds - ways[way].seconds:.4f} s until {ANSWERS} answers"
        said = f"saves {saved}, its {ways[way].bytes} bytes take {ways[way].pull:.4f} s"
        print(f"{name}: artifact {label_of(made.rung, key)} {'kept' if kept else 'left out'}: {said}", file=sys.stderr)
        told = {"component": name, "rung": made.rung, "key": key, "kept": kept, "for": dict(made.fields)}
        return {**told, "bytes": ways[way].bytes, "choice": choice}

    def _measure(self, name: str, made: Sequence[Made]) -> list[Figures]:
        """Of the graph that is opened without them, and of each."""
        sizes = [0, *(sum(path.stat().st_size for path in each.folder.rglob("*") if path.is_file()) for each in made)]
        ways: list[Open] = [graph_opener(self.job, name), *(partial(open_made, each, self.job.models) for each in made)]
        found = try_graphs({str(number): way for number, way in enumerate(ways)}, self._asked(name), name)
        return [Figures(*seconds, size) for seconds, size in zip(found.values(), sizes, strict=True)]


def graph_opener(job: Job, name: str) -> Open:
    """Opens it as a start does without artifacts, which compiles nothing. What a start finds in the manifest is found here, and
    not while the opening is timed."""
    own, graph = job.settings.components[name], job.graph(name)
    model = load(graph)
    session, _ = session_of(job, name, model)
    about = Graph(name, own.precision.type, is_fixed(model))
    providers = tuple(each for each in own.providers if each != TENSORRT)
    said = options_for(about, providers, own.options)
    return partial(open_graph, graph, session, {each: said.get(each, {}) for each in providers})


def open_graph(graph: Path, session: Session, providers: Mapping[str, Mapping[str, str]]) -> ort.InferenceSession:
    return open_with(graph, session_options(session), providers)


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
