"""The compile stage: exported graphs to final ones, checked against the framework, and the manifest. No torch here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir
import onnxruntime as ort

from prebake.bake import graph_files, parity
from prebake.bake.buckets import Proof, Tensors, bucketing_of, check_buckets
from prebake.bake.comparison import NotCompared, open_to_compare
from prebake.bake.compile_key import key_fields
from prebake.bake.component import Session
from prebake.bake.documents import canonical_json, digest_json
from prebake.bake.exported import Exported
from prebake.bake.halves import keep_half
from prebake.bake.image_files import write_models
from prebake.bake.job import Files, Job, check_components, own_weights, place_graph, weight_files
from prebake.bake.manifest import Compiled
from prebake.bake.native import RUNG, open_native, settle
from prebake.bake.optimise import optimised
from prebake.bake.provider_options import CPU
from prebake.bake.quality_report import describe_component
from prebake.bake.repoint import Report, WeightFiles, repoint
from prebake.bake.saturation import Saturating, find_saturating, unshare
from prebake.bake.settings import REPORT, Settings


@dataclass(frozen=True)
class Compared:
    """What the comparison of a component with the framework showed, or why there was none."""

    findings: tuple[parity.Finding, ...] = ()
    why_not: str = ""


def compile_image(settings: Settings, exported: Path, models: Path, out: Path) -> None:
    """Compile every component: graphs, assets, warm-up and manifest under ``out/models``, and ``out/report.json``. Where torch
    serves there is no graph to compile (``prebake.bake.networks``).

    Raises ParityFailed, after all components were tried, where a graph answers otherwise than the framework.
    """
    job = Job(settings, Exported.load(exported), models)
    if settings.runtime == "torch":
        from prebake.bake.networks import compile_networks  # with torch, which graphs need not

        compile_networks(job, out)
        return
    check_components(job)
    weights = weight_files(job)
    made = [compile_component(job, name, weights) for name in sorted(settings.components)]
    compiled = [(settle_form(job, each, weights, out / "models"), report) for each, report in made]
    tensors = {each.name: Tensors.read(each.model) for each, _ in compiled}
    check_buckets(settings, tensors, {name: each.ranges for name, each in job.exported.components.items()})
    compared = {each.name: _compare(job, each, tensors[each.name], out / "models") for each, _ in compiled}
    parity.check([finding for each in compared.values() for finding in each.findings])
    write_models(job, [each[0] for each in compiled], weights, out / "models")
    _write_report(job, compiled, compared, out)


def compile_component(job: Job, name: str, files: Files) -> tuple[Compiled, Report]:
    """Its graph beside its weights; how that is opened is not settled yet.

    A GPU's graph stays as exported: ONNX Runtime optimises for the provider that it opens a graph by, and the CPU's casts fp16
    to fp32 where it has no kernel, takes functions such as Gelu apart, and refuses bf16. TensorRT's is in ONNX's own operators:
    what is refitted or built again at a start reads it beside its weights.
    """
    place_graph(job, name)
    on_cpu = job.settings.components[name].providers[0] == CPU
    report = _optimise(job, name, files) if on_cpu else Report(**job.exported.components[name].report)
    fields = key_fields(job, name, files)
    final = graph_files.load(job.graph(name))
    print(f"{name}: compiled, {report}", file=sys.stderr)
    session, saturating = session_of(job, name, final)
    if saturating:
        print(f"{name}: {saturating}", file=sys.stderr)
    return Compiled(name, job.settings.graph(name), final, digest_json(fields), fields, session), report


def session_of(job: Job, name: str, graph: ir.Model) -> tuple[Session, Saturating]:
    """How the component's final graph is opened, and what of it saturates on some processors."""
    session = job.settings.components[name].session
    found = find_saturating(graph, optimised=session.optimize == "disable")
    return replace(session, saturates=bool(found.avoidable)), found


def _optimise(job: Job, name: str, files: Files) -> Report:
    graph, own = job.graph(name), own_weights(job.settings.folder(name), files)
    with optimised(graph, name, job.settings.components[name].providers) as model:
        unshare(model)
        if job.settings.keeps_half(name):  # the optimiser folded the casts
            keep_half(model, job.settings.components[name].precision.type, exact=True)
        report = repoint(model, WeightFiles([job.models / path for path in own]), job.constants(name))
        graph_files.save(model, graph, name)
    return report


def settle_form(job: Job, compiled: Compiled, files: Files, target: Path) -> Compiled:
    """The component with the form that trials settled, where they were asked for."""
    name = compiled.name
    settled = settle(
        job.graph(name),
        job.exported.case(name, 0),
        compiled.session,
        sum(_size(files[path]) for path in own_weights(job.settings.folder(name), files)),
        native_place(target, name),
        compiled.key_fields,
    )
    if settled.choice:
        print(f"{name}: compiled, opened {settled.choice['chosen']}, as trials were soonest", file=sys.stderr)
    made = [settled.artifact] if settled.artifact else []
    return replace(compiled, session=settled.session, choice=settled.choice, artifacts=made)


def native_place(target: Path, name: str) -> Path:
    """Where a component's form for this kind of processor lies, under the image's models."""
    return target / "compiled" / name / RUNG


def _size(entry: Mapping[str, object]) -> int:
    size = entry["size"]
    assert isinstance(size, int)  # noqa: S101 (which this stage has written)
    return size


def _compare(job: Job, compiled: Compiled, tensors: Tensors, target: Path) -> Compared:
    """The graph, and what was packed ahead of it."""
    name = compiled.name
    own = job.settings.components[name]
    try:
        sessions = [open_to_compare(name, job.graph(name), compiled.session, own.providers)]
    except NotCompared as why:
        print(f"{name}: compiled, not compared with the framework: {why}", file=sys.stderr)
        return Compared(why_not=str(why))
    if compiled.artifacts:
        sessions.append(open_native(native_place(target, name)))
    found = [finding for session in sessions for finding in compare_with_cases(job, name, session)]
    if own.buckets:
        bound, relative = bound_of(job, name)
        proof = Proof(name, sessions[0], bucketing_of(own, tensors), bound, relative)
        found += proof.findings(job.exported.cases(name))
    return Compared(tuple(found))


def compare_with_cases(job: Job, name: str, session: ort.InferenceSession) -> tuple[parity.Finding, ...]:
    """A session's answers against what the framework answered, within what the component's precision allows."""
    bound, relative = bound_of(job, name)
    basis = job.exported.components[name].basis
    return parity.compare(name, session, job.exported.cases(name), bound, relative=relative, basis=basis)


def bound_of(job: Job, name: str) -> tuple[parity.Tolerance, bool]:
    """What an answer of the component may differ by, and whether that is relative."""
    precision = job.settings.components[name].precision
    return (precision.bound, True) if precision.bounded else (job.exported.components[name].tolerance, False)


def _write_report(job: Job, made: list[tuple[Compiled, Report]], compared: Mapping[str, Compared], out: Path) -> None:
    """What is worth knowing of the build and does not belong in the image."""
    content = {each.name: _describe(job, each, report, compared[each.name]) for each, report in made}
    (out / REPORT).write_bytes(canonical_json(content))


def _describe(job: Job, compiled: Compiled, report: Report, compared: Compared) -> dict[str, Any]:
    own, exported = job.settings.components[compiled.name], job.exported.components[compiled.name]
    told = describe_component(own, exported, report, compared.findings, compiled.choice)
    _, saturating = session_of(job, compiled.name, compiled.model)
    told |= {"saturates": asdict(saturating)} if saturating else {}
    return {**told, **({"not_compared": compared.why_not} if compared.why_not else {})}
