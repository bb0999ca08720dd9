"""The compile stage: optimize exported graphs, compare their answers with the framework's, and write the manifest.
torch is imported only if torch serves the model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir
import onnxruntime as ort

from prebake.bake.graphs import onnx_files
from prebake.bake.graphs.external_data import LinkReport, WeightFiles, link_initializers
from prebake.bake.graphs.int8_saturation import SaturatingNodes, find_saturating_nodes, unshare_int8_constants
from prebake.bake.graphs.optimize import optimize_graph
from prebake.bake.graphs.provider_options import CPU
from prebake.bake.model_folder.compile_job import (
    CompileJob,
    FileEntries,
    check_components,
    graph_key_fields,
    list_weights,
    place_graph,
    weight_files,
)
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.model_folder.manifest import CompiledComponent, write_models
from prebake.bake.parity import compare, results
from prebake.bake.parity.bucket_checks import check_buckets
from prebake.bake.parity.bucket_parity import BucketParityCheck
from prebake.bake.parity.compare import ComparisonUnavailable, open_for_comparison
from prebake.bake.parity.graph_signature import GraphSignature, make_bucketing
from prebake.bake.precision.half_weights import store_half_weights
from prebake.bake.stages.compile_report import describe_component
from prebake.bake.trials.prepacking import decide_form
from prebake.documents.canonical import canonical_json, digest_json
from prebake.documents.component import SessionSettings
from prebake.documents.settings import REPORT, StageSettings
from prebake.documents.stage_events import (
    COMPONENT_COMPILED,
    COMPONENT_NOT_COMPARED,
    SESSION_CHOSEN,
    EventLog,
    StageEvent,
)


@dataclass(frozen=True)
class ParityCheck:
    """The comparison of a component's answers with the framework's. ``skipped`` is the reason if there was none; else empty."""

    findings: tuple[results.ParityResult, ...] = ()
    skipped: str = ""


def compile_image(settings: StageSettings, exported: Path, models: Path, out: Path) -> None:
    """Write graphs, assets, the warm-up request and the manifest to ``out/models``, and ``out/report.json``. A component that
    torch serves has no graph (``prebake.bake.stages.compile_networks``).

    Raises ParityFailed, with all results of all components, if graphs answer differently from the framework.
    """
    job = CompileJob(settings, Exported.load(exported), models)
    if settings.runtime == "torch":
        from prebake.bake.stages.compile_networks import compile_networks  # imports torch, which graphs do not need

        compile_networks(job, out)
        return
    check_components(job)
    weights = weight_files(job)
    events = EventLog(out)
    made = [compile_component(job, name, weights) for name in sorted(settings.components)]
    for graph, report in made:
        events.write(compiled_event(graph.name, report))
    compiled = [(choose_session(job, graph, weights), report) for graph, report in made]
    for graph, _ in compiled:
        if graph.choice:
            events.write(_chosen_event(graph))
    tensors = {graph.name: GraphSignature.read(graph.model) for graph, _ in compiled}
    check_buckets(settings, tensors, {name: own.ranges for name, own in job.exported.components.items()})
    checks = {graph.name: _compare(job, graph, tensors[graph.name]) for graph, _ in compiled}
    for name, check in checks.items():
        if check.skipped:
            message = f"compiled, not compared with the framework: {check.skipped}"
            events.write(StageEvent(COMPONENT_NOT_COMPARED, name, message))
    results.check_results([finding for check in checks.values() for finding in check.findings])
    write_models(job, [graph for graph, _ in compiled], weights, out / "models")
    _write_report(job, compiled, checks, out)


def compile_component(job: CompileJob, name: str, files: FileEntries) -> tuple[CompiledComponent, LinkReport]:
    """Place a component's graph beside its weights, and optimize it for the CPU. Its session is chosen later
    (``choose_session``).

    A graph for a GPU stays as exported: ONNX Runtime optimizes a graph for the provider that opens it, and the CPU provider
    casts fp16 to fp32 if it has no kernel, decomposes functions such as Gelu, and refuses bf16. A graph for TensorRT has
    ONNX's own operators only: an engine that is refitted or built at a start reads the graph beside its weights.
    """
    place_graph(job, name)
    on_cpu = job.settings.components[name].providers[0] == CPU
    report = _optimize(job, name, files) if on_cpu else LinkReport(**job.exported.components[name].report)
    fields = graph_key_fields(job, name, files)
    final = onnx_files.load(job.graph(name))
    session, saturating = session_of(job, name, final)
    if saturating:
        print(f"{name}: {saturating}", file=sys.stderr)
    compiled = CompiledComponent(
        name=name,
        graph=job.settings.graph(name),
        model=final,
        key=digest_json(fields),
        key_fields=fields,
        session=session,
    )
    return compiled, report


def compiled_event(name: str, report: LinkReport) -> StageEvent:
    """The event that a component's graph is final, with the places of its weights."""
    return StageEvent(COMPONENT_COMPILED, name, f"compiled, {report}", report.to_dict())


def _chosen_event(compiled: CompiledComponent) -> StageEvent:
    message = f"compiled, opened {compiled.choice['chosen']}, which answered fastest in trials"
    return StageEvent(SESSION_CHOSEN, compiled.name, message, dict(compiled.choice))


def session_of(job: CompileJob, name: str, graph: ir.Model) -> tuple[SessionSettings, SaturatingNodes]:
    """The session settings of a component's final graph, and its operators that saturate on some processors."""
    session = job.settings.components[name].session
    saturating = find_saturating_nodes(graph, optimized=session.optimize == "disable")
    return replace(session, saturates=bool(saturating.avoidable)), saturating


def _optimize(job: CompileJob, name: str, files: FileEntries) -> LinkReport:
    graph, own = job.graph(name), list_weights(job.settings.folder(name), files)
    with optimize_graph(graph, name, job.settings.components[name].providers) as model:
        unshare_int8_constants(model)
        if job.settings.keeps_half(name):  # again, since the optimizer folded the casts
            store_half_weights(model, job.settings.components[name].precision.type, exact=True)
        report = link_initializers(model, WeightFiles([job.models / path for path in own]), job.constants(name))
        onnx_files.save(model, graph, name)
    return report


def choose_session(job: CompileJob, compiled: CompiledComponent, files: FileEntries) -> CompiledComponent:
    """The component with the session settings that trials chose, if its settings ask for trials."""
    name = compiled.name
    decision = decide_form(
        job.graph(name),
        job.exported.case(name, 0),
        compiled.session,
        sum(_size(files[path]) for path in list_weights(job.settings.folder(name), files)),
    )
    return replace(compiled, session=decision.session, choice=decision.choice)


def _size(entry: Mapping[str, object]) -> int:
    size = entry["size"]
    assert isinstance(size, int)  # noqa: S101 (this stage wrote it)
    return size


def _compare(job: CompileJob, compiled: CompiledComponent, tensors: GraphSignature) -> ParityCheck:
    """Compare the component's graph with the framework."""
    name = compiled.name
    own = job.settings.components[name]
    try:
        session = open_for_comparison(name, job.graph(name), compiled.session, own.providers)
    except ComparisonUnavailable as reason:
        return ParityCheck(skipped=str(reason))
    findings = [*compare_with_cases(job, name, session)]
    if own.buckets:
        bound, relative = bound_of(job, name)
        proof = BucketParityCheck(name, session, make_bucketing(own, tensors), bound, relative)
        findings += proof.results(job.exported.cases(name))
    return ParityCheck(tuple(findings))


def compare_with_cases(job: CompileJob, name: str, session: ort.InferenceSession) -> tuple[results.ParityResult, ...]:
    """Compare a session's answers with the framework's, within the bound of the component's precision."""
    bound, relative = bound_of(job, name)
    basis = job.exported.components[name].basis
    return compare.compare(name, session, job.exported.cases(name), bound, relative=relative, basis=basis)


def bound_of(job: CompileJob, name: str) -> tuple[compare.Tolerance, bool]:
    """The largest allowed difference of the component's answers, and whether it is relative."""
    precision = job.settings.components[name].precision
    return (
        (precision.max_relative_error, True) if precision.bounded else (job.exported.components[name].tolerance, False)
    )


def _write_report(
    job: CompileJob, made: list[tuple[CompiledComponent, LinkReport]], checks: Mapping[str, ParityCheck], out: Path
) -> None:
    """Write the figures of the build that do not go into the image."""
    content = {graph.name: _describe(job, graph, report, checks[graph.name]) for graph, report in made}
    (out / REPORT).write_bytes(canonical_json(content))


def _describe(job: CompileJob, compiled: CompiledComponent, report: LinkReport, check: ParityCheck) -> dict[str, Any]:
    own, exported = job.settings.components[compiled.name], job.exported.components[compiled.name]
    description = describe_component(own, exported, report, check.findings, compiled.choice)
    _, saturating = session_of(job, compiled.name, compiled.model)
    description |= {"saturates": asdict(saturating)} if saturating else {}
    return {**description, **({"not_compared": check.skipped} if check.skipped else {})}
