"""The artifacts stage: compile an exported image for this kind of machine, compare the answers, measure the artifacts, and keep
those that save more time than their bytes take to pull."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from entrypoints.manifest.shape_buckets import ACCEPTS_RANGE
from entrypoints.runtime.bucket_session import Bucketing
from prebake.bake.compilers.compiled_artifact import CompiledGraph, folder_bytes, kept_event, open_artifact
from prebake.bake.compilers.compiler import Compiler, find_compilers
from prebake.bake.compilers.shape_profiles import check_profiles
from prebake.bake.errors import BakeError, ParityFailed
from prebake.bake.graphs.onnx_files import load
from prebake.bake.graphs.provider_options import TENSORRT, GraphTraits, has_static_shapes, render_options
from prebake.bake.graphs.sessions import open_graph
from prebake.bake.model_folder.compile_job import (
    CompileJob,
    FileEntries,
    check_components,
    graph_key_fields,
    place_graph,
    weight_files,
)
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.parity import results
from prebake.bake.parity.bucket_checks import check_buckets
from prebake.bake.parity.bucket_parity import BucketParityCheck
from prebake.bake.parity.graph_signature import GraphSignature, make_bucketing
from prebake.bake.stages.compile_graphs import (
    bound_of,
    compare_with_cases,
    compile_component,
    compiled_event,
    session_of,
)
from prebake.bake.trials.cost_model import AMORTIZED_REQUESTS, BASELINE, Cost, explain_choice, select
from prebake.bake.trials.trial import SessionOpener, run_graph_trials
from prebake.bake.weights.numpy_arrays import Array
from prebake.documents.canonical import canonical_json
from prebake.documents.settings import REPORT, StageSettings
from prebake.documents.stage_events import EventLog
from prebake.errors import PrebakeError


def compile_artifacts(
    settings: StageSettings, exported: Path, models: Path, out: Path, *, keep_all: bool = False
) -> None:
    """Compile every component. ``out/compiled/<component>/<label>`` gets each artifact that pays, or every artifact if
    ``keep_all``, with its ``artifact.json``. ``out/report.json`` has all of them.

    Raises ParityFailed if an artifact answers differently from the framework, BakeError if no compiler is registered for the
    target, or if compiling failed: after every component was tried, with all problems.
    """
    job = CompileJob(settings, Exported.load(exported), models)
    compile_all = _compile_networks if settings.runtime == "torch" else _compile_graphs
    outcomes = list(compile_all(job, out, keep_all))
    out.mkdir(parents=True, exist_ok=True)
    (out / REPORT).write_bytes(canonical_json({"artifacts": outcomes}))


def _compile_graphs(job: CompileJob, out: Path, keep_all: bool) -> Iterator[dict[str, object]]:
    compilers = find_compilers(job.settings)
    check_components(job)
    check_shapes(job)
    stage = ArtifactStage(job=job, weights=weight_files(job), compilers=compilers, out=out, keep_all=keep_all)
    yield from stage.run(*sorted(job.settings.components))


def _compile_networks(job: CompileJob, out: Path, keep_all: bool) -> Iterator[dict[str, object]]:
    from prebake.bake.compilers.torch_artifacts import (
        compile_network_artifacts,  # imports torch, which graphs do not need
    )

    return compile_network_artifacts(job, out, keep_all=keep_all)


@dataclass(frozen=True)
class ArtifactStage:
    """One run of the stage for graphs. ``weights`` are the entries of the weight files, ``keep_all`` is as above."""

    job: CompileJob
    weights: FileEntries
    compilers: Sequence[Compiler]
    out: Path
    keep_all: bool

    def run(self, *names: str) -> Iterator[dict[str, object]]:
        """Compile these components. Returns the outcome of each artifact. If any artifact has a problem, none is kept."""
        with TemporaryDirectory(prefix="artifacts-", dir=self.job.models) as folder:
            compiled = self._compile_all(names, Path(folder))
            for name in names:
                yield from self._select(name, compiled[name])

    def _compile_all(self, names: Sequence[str], folder: Path) -> dict[str, list[CompiledGraph]]:
        """The artifacts of each component. Raises after all components were compiled and compared."""
        compiled: dict[str, list[CompiledGraph]] = {}
        findings, errors = list[results.ParityResult](), list[PrebakeError]()
        for name in names:
            (folder / name).mkdir()
            try:
                artifacts = self._compile(name, folder / name)
                _, report = compile_component(
                    self.job, name, self.weights
                )  # a start without artifacts opens this graph
                EventLog(self.out).write(compiled_event(name, report))
            except BakeError as error:
                errors.append(error)
            else:
                findings += [finding for artifact in artifacts for finding in self._compare(name, artifact)]
                compiled[name] = artifacts
        try:
            results.check_results(findings)
        except ParityFailed as error:
            errors.append(error)
        _raise_together(errors)
        return compiled

    def _compile(self, name: str, folder: Path) -> list[CompiledGraph]:
        place_graph(self.job, name)
        artifacts: list[CompiledGraph] = []
        for number, compiler in enumerate(self.compilers):
            (folder / str(number)).mkdir()
            artifacts += compiler.compile(name, self.job.graph(name), self.job.settings, folder / str(number))
        return artifacts

    def _compare(self, name: str, artifact: CompiledGraph) -> tuple[results.ParityResult, ...]:
        session, own = open_artifact(artifact, self.job.models), self.job.settings.components[name]
        if not own.buckets:
            return compare_with_cases(self.job, name, session)
        bound, relative = bound_of(self.job, name)
        reference = graph_opener(self.job, name)()
        ranging = artifact.accepts == ACCEPTS_RANGE and own.overflow == "dynamic"
        proof = BucketParityCheck(name, session, self._bucketing(name), bound, relative, reference, ranging)
        return tuple(proof.results(self.job.exported.cases(name)))

    def _bucketing(self, name: str) -> Bucketing:
        return make_bucketing(self.job.settings.components[name], GraphSignature.read(load(self.job.graph(name))))

    def _trial_inputs(self, name: str) -> Mapping[str, Array]:
        """The first case's inputs in the shape in which the container runs them."""
        inputs = self.job.exported.cases(name)[0].inputs
        if not self.job.settings.components[name].buckets:
            return inputs
        bucketing = self._bucketing(name)
        shape = bucketing.choose(bucketing.measure(inputs))
        first = self.job.settings.components[name].buckets[0]
        return bucketing.fit(inputs, first) if shape is None else bucketing.fill(inputs, shape)

    def _select(self, name: str, artifacts: Sequence[CompiledGraph]) -> Iterator[dict[str, object]]:
        """Of the artifacts for each candidate, keep the best one if it pays; and its fallback if it was kept."""
        if not artifacts:
            return
        graph, *figures = self._measure(name, artifacts)
        kept_candidates: set[str] = set()
        for candidate in dict.fromkeys(artifact.candidate for artifact in artifacts):
            pairs = [pair for pair in zip(artifacts, figures, strict=True) if pair[0].candidate == candidate]
            labeled = {
                f"{candidate} {number}" if number > 1 else candidate: pair for number, pair in enumerate(pairs, 1)
            }
            candidates = {BASELINE: graph, **{label: measured for label, (_, measured) in labeled.items()}}
            chosen = select(candidates)
            kept_candidates.update([candidate] if chosen != BASELINE else [])
            for label, (artifact, _) in labeled.items():
                kept = artifact.fallback_for in kept_candidates if artifact.fallback_for else label == chosen
                yield self._place(name, artifact, label, candidates, self.keep_all or kept)

    def _place(
        self, name: str, artifact: CompiledGraph, label: str, candidates: Mapping[str, Cost], kept: bool
    ) -> dict[str, object]:
        """Write the artifact to its place if it is kept. Returns its outcome for the report."""
        choice = explain_choice(candidates, label, select(candidates))
        described = artifact.describe(name, graph_key_fields(self.job, name, self.weights), choice)
        if kept:
            described.write(artifact.folder, self.out)
        saved, own = candidates[BASELINE].total_seconds - candidates[label].total_seconds, candidates[label]
        verdict = f"saves {saved:.4f} s until {AMORTIZED_REQUESTS} answers, its {own.bytes} bytes take {own.pull_seconds:.4f} s"
        figures = {"saved_seconds": saved, "bytes": own.bytes, "pull_seconds": own.pull_seconds}
        EventLog(self.out).write(kept_event(described, kept, verdict, figures))
        outcome = {"component": name, "name": artifact.candidate, "key": described.key, "kept": kept}
        return {**outcome, "requires": dict(artifact.requires), "bytes": own.bytes, "choice": choice}

    def _measure(self, name: str, artifacts: Sequence[CompiledGraph]) -> list[Cost]:
        """The figures of the component's own graph, and of each artifact."""
        sizes = [0, *(folder_bytes(artifact.folder) for artifact in artifacts)]
        openers: list[SessionOpener] = [graph_opener(self.job, name)]
        openers += [partial(open_artifact, artifact, self.job.models) for artifact in artifacts]
        timings = run_graph_trials(
            {str(number): opener for number, opener in enumerate(openers)}, self._trial_inputs(name), name
        )
        return [Cost(*timing, size) for timing, size in zip(timings.values(), sizes, strict=True)]


def graph_opener(job: CompileJob, name: str) -> SessionOpener:
    """Opens the component's graph as a start without artifacts does, which compiles nothing. Options that a start reads from the
    manifest are found before the opener is timed."""
    own, graph = job.settings.components[name], job.graph(name)
    model = load(graph)
    session, _ = session_of(job, name, model)
    about = GraphTraits(name, own.precision.type, has_static_shapes(model))
    providers = tuple(provider for provider in own.providers if provider != TENSORRT)
    options = render_options(about, providers, own.options)
    return partial(open_graph, graph, session, {provider: options.get(provider, {}) for provider in providers})


def _raise_together(errors: Sequence[PrebakeError]) -> None:
    """Raise one error as it is, several as one BakeError."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        actions = dict.fromkeys(error.next_action for error in errors)
        raise BakeError("\n".join(error.message for error in errors), next_action="; ".join(actions))


def check_shapes(job: CompileJob) -> None:
    """Raise SpecInvalid if a graph does not support its buckets, or if an engine is to be compiled from a graph with free axes
    that no bucket gives a length."""
    names = job.settings.components
    tensors = {name: GraphSignature.read(load(job.exported.graph(name))) for name in names}
    check_buckets(job.settings, tensors, {name: job.exported.components[name].ranges for name in names})
    if job.settings.target == "tensorrt":
        check_profiles(job.settings, tensors)
