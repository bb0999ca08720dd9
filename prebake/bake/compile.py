"""The compile stage: exported graphs to final ones, checked against the framework, and the manifest. No torch here."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnx_ir as ir
import onnxruntime as ort

from prebake.bake import graph_files, parity
from prebake.bake.buckets import Proof, Tensors, bucketing_of, check_buckets
from prebake.bake.digests import digests_of_file
from prebake.bake.documents import canonical_json, digest_file, digest_json, digest_sources, sealed
from prebake.bake.errors import BakeError
from prebake.bake.exported import Exported
from prebake.bake.halves import keep_half
from prebake.bake.manifest import MANIFEST, Compiled, describe, file_entry
from prebake.bake.native import RUNG, open_native, settle
from prebake.bake.optimise import optimised
from prebake.bake.quality_report import describe_component
from prebake.bake.repoint import Report, WeightFiles, repoint
from prebake.bake.sessions import check_providers, open_session
from prebake.bake.settings import REPORT, Settings
from prebake.errors import ChecksumMismatch

Files = dict[str, dict[str, object]]


@dataclass(frozen=True)
class Job:
    """What one run of the stage works on. ``models`` holds published and derived files; graphs join them."""

    settings: Settings
    exported: Exported
    models: Path

    def graph(self, component: str) -> Path:
        return self.models / self.settings.graph(component)

    def constants(self, component: str) -> Path:
        return self.models / self.settings.constants(component)

    def exported_constants(self, component: str) -> Path:
        return self.exported.constants(component, self.settings.constants(component))


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
    _write_models(job, [each[0] for each in compiled], weights, out / "models")
    _write_report(job, compiled, findings, out)


def check_components(job: Job) -> None:
    wanted, got = job.settings.components.keys(), job.exported.components.keys()
    if wanted != got:
        raise BakeError(
            f"Settings name the components {sorted(wanted)}, the export made {sorted(got)}.",
            next_action="Run the export stage again with the same settings.",
        )
    for name in sorted(wanted):
        check_providers(name, job.settings.components[name].providers)


def weight_files(job: Job) -> Files:
    """Entries of the published and the derived files. What this stage was given is checked byte for byte; a published
    file that it was not given, because no graph reads it, is as the lock says."""
    files: Files = {
        each.path: {"size": each.size, "sha256": each.sha256, "origin": "published"} for each in job.settings.ship
    }
    for path in sorted(job.exported.derived):
        size = job.models.joinpath(path).stat().st_size
        files[path] = {"size": size, "sha256": job.exported.derived[path], "origin": "derived"}
    for path, entry in files.items():
        if (job.models / path).exists():
            found = digests_of_file(job.models / path)
            if found.sha256 != entry["sha256"]:
                raise ChecksumMismatch(
                    f"{job.models / path} has the sha256 {found.sha256}, not {entry['sha256']}.",
                    next_action="Fetch the checkpoint again, then run the export stage again.",
                )
            entry["xxh3"] = found.xxh3
    return files


def own_weights(folder: str, files: Files) -> Iterator[str]:
    """Weight files that lie beside a graph of this folder."""
    for path in sorted(files):
        place, _, name = path.rpartition("/")
        if place == folder and name.endswith(".safetensors"):
            yield path


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


def place_graph(job: Job, name: str) -> None:
    """Put the exported graph where its weights are: external data must lie under the graph's own folder."""
    job.graph(name).parent.mkdir(parents=True, exist_ok=True)
    for leftover in (job.graph(name), job.constants(name)):
        leftover.unlink(missing_ok=True)
    shutil.copyfile(job.exported.graph(name), job.graph(name))
    if job.exported_constants(name).exists():
        shutil.copyfile(job.exported_constants(name), job.constants(name))


def key_fields(job: Job, name: str, files: Files) -> dict[str, object]:
    """Everything that the compiled graph follows from. Its sha256 is the compile key."""
    own, constants = job.settings.components[name], job.exported_constants(name)
    weights = {path: files[path]["sha256"] for path in own_weights(job.settings.folder(name), files)}
    return {
        "graph": digest_file(job.exported.graph(name)),
        "constants": digest_file(constants) if constants.exists() else None,
        "weights": weights,
        "target": job.settings.target,
        "precision": asdict(own.precision),
        "providers": list(own.providers),
        "session": vars(own.session),
        "buckets": [dict(shape) for shape in own.buckets],
        "options": {name: dict(each) for name, each in own.options.items()},
        "versions": {"onnxruntime": ort.__version__, "onnx_ir": ir.__version__},
        "bake": digest_sources(Path(__file__).parent),
    }


def _findings(job: Job, compiled: Compiled, tensors: Tensors, target: Path) -> tuple[parity.Finding, ...]:
    """Of the graph, and of what was packed ahead of it."""
    name = compiled.name
    own = job.settings.components[name]
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


def _write_models(job: Job, compiled: list[Compiled], files: Files, target: Path) -> None:
    for each in compiled:
        for path, origin in ((job.settings.graph(each.name), "graph"), (job.settings.constants(each.name), "derived")):
            if (job.models / path).exists():
                files[path] = _place(job.models / path, target / path, origin)
    for made in sorted((target / "compiled").rglob("*")):
        if made.is_file():
            files[made.relative_to(target).as_posix()] = file_entry(made, "compiled")
    place_rest(job, files, target)
    manifest = describe(job.settings, compiled, files, job.exported.warmup)
    (target / MANIFEST).write_bytes(sealed(manifest))


def place_rest(job: Job, files: Files, target: Path) -> None:
    """What the export stage made besides graphs and weights: the warm-up request and assets."""
    for path in _warmup_files(job):
        files[path] = _place(job.exported.model_file(path), target / path, "warmup")
    for path in job.exported.assets:
        files[path] = _place(job.exported.model_file(path), target / path, "asset")


def _warmup_files(job: Job) -> list[str]:
    root = job.exported.folder / "models"
    found = (path.relative_to(root).as_posix() for path in (root / "warmup").rglob("*") if path.is_file())
    return sorted(set(found) - set(job.exported.assets))


def _place(source: Path, target: Path, origin: str) -> dict[str, object]:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return file_entry(target, origin)


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
