"""Networks that torch serves: check their weights by name and shape, and find the key of each component."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from inspect import getfile
from pathlib import Path

import torch

from entrypoints.runtime.torch_network import NetworkFiles, NetworkMismatch, build_network, find_tensors
from prebake.bake.errors import WeightsError
from prebake.bake.model_folder.compile_job import CompileJob, FileEntries, digest_stage_code, list_weights
from prebake.documents.canonical import digest_file
from prebake.documents.stage_events import COMPONENT_COMPILED, StageEvent

LOADER = ("aotinductor.py", "compile_cache.py", "torch_network.py")
"""The container's modules that load networks and open their compiled blocks: part of each component's key."""


def torch_device(target: str) -> str:
    """torch's device type for a target."""
    return "cpu" if target == "cpu" else "cuda"


def list_parts(job: CompileJob, files: FileEntries) -> dict[str, NetworkFiles]:
    """The configuration and weight files of each component."""
    return {name: _parts(job, name, files) for name in sorted(job.settings.components)}


def network_key_fields(job: CompileJob, parts: NetworkFiles, files: FileEntries) -> dict[str, object]:
    """All inputs of a component's key, which is their sha256."""
    return {
        "config": files[parts.config]["sha256"],
        "weights": {path: files[path]["sha256"] for path in parts.weights},
        "networks": job.settings.model_revision,
        "loader": {name: digest_file(Path(getfile(find_tensors)).with_name(name)) for name in LOADER},
        "target": job.settings.target,
        "precision": job.settings.components[parts.name].precision.type,
        "versions": {"torch": torch.__version__},
        "bake": digest_stage_code(),
    }


def _parts(job: CompileJob, name: str, files: FileEntries) -> NetworkFiles:
    return NetworkFiles(
        job.models, name, job.settings.config(name), tuple(list_weights(job.settings.folder(name), files))
    )


def checked_event(name: str, tensors: int, files: int) -> StageEvent:
    """The event that a network's weights were checked."""
    message = f"compiled, {tensors} tensors found in {files} files"
    return StageEvent(COMPONENT_COMPILED, name, message, {"tensors": tensors, "files": files})


def check_networks(job: CompileJob, parts: Mapping[str, NetworkFiles]) -> dict[str, int]:
    """The number of tensors of each component. Only the headers of weight files are read. Raises WeightsError with every
    tensor that is missing, unexpected or of another shape, of all components."""
    build, problems = importlib.import_module(job.settings.networks).build, list[str]()
    counts = {}
    for name, network in parts.items():
        try:
            counts[name] = len(find_tensors(build_network(build, network), network))
        except NetworkMismatch as misfit:
            problems += misfit.problems
    if problems:
        raise WeightsError(
            "Networks and weights do not match:" + "".join(f"\n  {problem}" for problem in problems),
            next_action="fetch configuration and weights from the same revision, or correct model_torch.py",
        )
    return counts
