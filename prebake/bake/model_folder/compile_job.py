"""The inputs of a compile or artifacts stage: settings, the exported folder, and the checked weight files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx_ir as ir
import onnxruntime as ort

import prebake.bake
import prebake.documents
from prebake.bake.errors import BakeError
from prebake.bake.graphs.provider_options import TENSORRT
from prebake.bake.graphs.sessions import check_providers
from prebake.bake.graphs.standard_ops import decompose_fused_matmul
from prebake.bake.model_folder.export_folder import Exported
from prebake.bake.weights.digests import compute_file_digests
from prebake.documents.canonical import digest_file, digest_sources
from prebake.documents.settings import StageSettings
from prebake.errors import ChecksumMismatch

FileEntries = dict[str, dict[str, object]]
"""The manifest's entries of files (size, digests, origin), by their paths under /models."""


@dataclass(frozen=True)
class CompileJob:
    """The inputs of one run of a stage. ``models`` has published and derived files, and gets the graphs beside them."""

    settings: StageSettings
    exported: Exported
    models: Path

    def graph(self, component: str) -> Path:
        return self.models / self.settings.graph(component)

    def constants(self, component: str) -> Path:
        return self.models / self.settings.constants(component)

    def exported_constants(self, component: str) -> Path:
        return self.exported.constants(component, self.settings.constants(component))


def check_components(job: CompileJob) -> None:
    """Raise BakeError if the settings and the export name different components, or if a component's provider is missing here."""
    expected, exported = job.settings.components.keys(), job.exported.components.keys()
    if expected != exported:
        raise BakeError(
            f"The settings have the components {sorted(expected)}, but the export has {sorted(exported)}.",
            next_action="run the export stage again with the same settings",
        )
    for name in sorted(expected):
        check_providers(name, job.settings.components[name].providers)


def weight_files(job: CompileJob) -> FileEntries:
    """The entries of published and derived files. Files in ``job.models`` are checked byte for byte. Published files that no
    graph reads are not there; their entries come from the lock."""
    files: FileEntries = {
        file.path: {"size": file.size, "sha256": file.sha256, "origin": "published"} for file in job.settings.ship
    }
    for path in sorted(job.exported.derived):
        size = job.models.joinpath(path).stat().st_size
        files[path] = {"size": size, "sha256": job.exported.derived[path], "origin": "derived"}
    for path, entry in files.items():
        if (job.models / path).exists():
            digests = compute_file_digests(job.models / path)
            if digests.sha256 != entry["sha256"]:
                raise ChecksumMismatch(
                    f"{job.models / path} has the sha256 {digests.sha256}, not {entry['sha256']}.",
                    next_action="fetch the checkpoint again, then run the export stage again",
                )
            entry["xxh3"] = digests.xxh3
    return files


def list_weights(folder: str, files: FileEntries) -> Iterator[str]:
    """The paths of the weight files in ``folder``, which the graphs in it read."""
    for path in sorted(files):
        place, _, name = path.rpartition("/")
        if place == folder and name.endswith(".safetensors"):
            yield path


def place_graph(job: CompileJob, name: str) -> None:
    """Copy the exported graph and its constants to the folder of its weights: ONNX reads external data only below the graph's own
    folder."""
    job.graph(name).parent.mkdir(parents=True, exist_ok=True)
    for leftover in (job.graph(name), job.constants(name)):
        leftover.unlink(missing_ok=True)
    shutil.copyfile(job.exported.graph(name), job.graph(name))
    if job.exported_constants(name).exists():
        shutil.copyfile(job.exported_constants(name), job.constants(name))
    if TENSORRT in job.settings.components[name].providers:
        decompose_fused_matmul(job.graph(name), job.graph(name))


def digest_stage_code() -> str:
    """The sha256 of the stages' code: ``prebake.bake`` and ``prebake.documents``, all sub-packages included."""
    return digest_sources(*(Path(package.__path__[0]) for package in (prebake.bake, prebake.documents)))


def graph_key_fields(job: CompileJob, name: str, files: FileEntries) -> dict[str, object]:
    """All inputs of a component's compile key, which is their sha256."""
    own, constants = job.settings.components[name], job.exported_constants(name)
    weights = {path: files[path]["sha256"] for path in list_weights(job.settings.folder(name), files)}
    return {
        "graph": digest_file(job.exported.graph(name)),
        "constants": digest_file(constants) if constants.exists() else None,
        "weights": weights,
        "target": job.settings.target,
        "precision": asdict(own.precision),
        "providers": list(own.providers),
        "session": vars(own.session),
        "buckets": [dict(shape) for shape in own.buckets],
        "options": {name: dict(options) for name, options in own.options.items()},
        "versions": {"onnxruntime": ort.__version__, "onnx_ir": ir.__version__},
        "bake": digest_stage_code(),
    }
