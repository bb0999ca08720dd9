"""The compile stage of an image that torch serves: check networks against their weights, and write the manifest. Networks are
compiled by the artifacts stage, on a machine with the target's device (``prebake.bake.compilers.torch_artifacts``)."""

from __future__ import annotations

from pathlib import Path

from entrypoints.runtime.torch_network import NetworkFiles
from prebake.bake.compilers.torch_networks import (
    check_networks,
    checked_event,
    list_parts,
    network_key_fields,
    torch_device,
)
from prebake.bake.model_folder.compile_job import CompileJob, FileEntries, weight_files
from prebake.bake.model_folder.manifest import make_manifest, place_other_files
from prebake.documents.canonical import canonical_json, digest_json
from prebake.documents.manifest.validation import seal_manifest
from prebake.documents.model_manifest import MODEL_MANIFEST
from prebake.documents.settings import REPORT
from prebake.documents.stage_events import EventLog


def compile_networks(job: CompileJob, out: Path) -> None:
    """Write assets, the warm-up request and the manifest to ``out/models``, and ``out/report.json``.

    Raises WeightsError with every tensor of every component that is missing, unexpected or of another shape.
    """
    files = weight_files(job)
    parts = list_parts(job, files)
    tensors = check_networks(job, parts)
    for name, count in tensors.items():
        EventLog(out).write(checked_event(name, count, len(parts[name].weights)))
    target = out / "models"
    place_other_files(job, files, target)
    manifest = make_manifest(job.settings, [], files, job.exported.warmup)
    manifest["components"] = {name: _component(job, component, files) for name, component in parts.items()}
    runtime = {"module": job.settings.networks, "device": torch_device(job.settings.target)}
    manifest["torch"] = {**runtime, "compiled": job.settings.compiled}
    (target / MODEL_MANIFEST).write_bytes(seal_manifest(manifest))
    (out / REPORT).write_bytes(canonical_json({name: _describe(job, name, count) for name, count in tensors.items()}))


def _describe(job: CompileJob, name: str, tensors: int) -> dict[str, object]:
    """A component in the build's report. The error of a reduced precision is measured on the whole answer, at every start."""
    return {"precision": job.settings.components[name].precision.type, "tensors": tensors}


def _component(job: CompileJob, parts: NetworkFiles, files: FileEntries) -> dict[str, object]:
    fields = network_key_fields(job, parts, files)
    return {
        "runtime": "torch",
        "config": parts.config,
        "precision": fields["precision"],
        "byte_ranges": {path: [[0, files[path]["size"]]] for path in parts.weights},
        "key": digest_json(fields),
        "key_inputs": fields,
    }
