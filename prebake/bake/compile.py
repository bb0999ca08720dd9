"""The compile stage: exported graphs to final ones, checked against the framework, and the manifest. No torch here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnxruntime as ort

from prebake.bake import graph_files, parity
from prebake.bake.buckets import Proof, Tensors, bucketing_of, check_buckets
from prebake.bake.compile_key import key_fields
from prebake.bake.documents import canonical_json, digest_json
from prebake.bake.exported import Exported
from prebake.bake.halves import keep_half
from prebake.bake.image_files import write_models
from prebake.bake.job import Files, Job, check_components, own_weights, place_graph, weight_files
from prebake.bake.manifest import Compiled
from prebake.bake.native import RUNG, open_native, settle
from prebake.bake.optimise import optimised
from prebake.bake.quality_report import describe_component
from prebake.bake.repoint import Report, WeightFiles, repoint
from prebake.bake.sessions import open_session
from prebake.bake.settings import REPORT, Settings


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
    findings = [finding for each, _ in compiled for finding in _findings(job, each, tensors[each.name], out / "models")]
    parity.check(findings)
    write_models(job, [each[0] for each in compiled], weights, out / "models")
    _write_report(job, compiled, findings, out)


def compile_component(job: Job, name: str, files: Files) -> tuple[Compiled, Report]:
    """Its graph beside its weights; how that is opened is not settled yet."""
    own = list(own_weights(job.settings.folder(name), files))
    graph = job.graph(name)
    place_graph(job, name)
    with optimised(graph, name, job.settings.components[name].providers) as model:
        if job.settings.keeps_half(name):  # the optimiser folded the casts
            keep_half(model, job.settings.components[name].precision.type, exact=True)
        report = repoint(model, WeightFiles([job.models / path for path in own]), job.constants(name))
        graph_files.save(model, graph, name)
    fields = key_fields(job, name, files)
    final = graph_files.load(graph)
    print(f"{name}: compiled, {report}", file=sys.stderr)
    session = job.settings.components[name].session
    return Compiled(name, job.settings.graph(name), final, digest_json(fields), fields, session), report


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


def _findings(job: Job, compiled: Compiled, tensors: Tensors, target: Path) -> tuple[parity.Finding, ...]:
    """Of the graph, and of what was packed ahead of it."""
    name = compiled.name
    own = job.settings.components[name]
    sessions = [open_session(job.graph(name), compiled.session, own.providers)]
    if compiled.artifacts:
        sessions.append(open_native(native_place(target, name)))
    found = [finding for session in sessions for finding in compare_with_cases(job, name, session)]
    if own.buckets:
        relative = own.precision.reduced
        bound = own.precision.bound if relative else job.exported.components[name].tolerance
        proof = Proof(name, sessions[0], bucketing_of(own, tensors), bound, relative)
        found += proof.findings(job.exported.cases(name))
    return tuple(found)


def compare_with_cases(job: Job, name: str, session: ort.InferenceSession) -> tuple[parity.Finding, ...]:
    """A session's answers against what the framework answered, within what the component's precision allows."""
    own = job.settings.components[name]
    cases = job.exported.cases(name)
    if own.precision.reduced:
        return parity.compare(name, session, cases, own.precision.bound, relative=True)
    return parity.compare(name, session, cases, job.exported.components[name].tolerance)


def _write_report(job: Job, made: list[tuple[Compiled, Report]], findings: list[parity.Finding], out: Path) -> None:
    """What is worth knowing of the build and does not belong in the image."""
    content = {
        each.name: describe_component(
            job.settings.components[each.name],
            job.exported.components[each.name],
            report,
            [finding for finding in findings if finding.component == each.name],
            each.choice,
        )
        for each, report in made
    }
    (out / REPORT).write_bytes(canonical_json(content))
