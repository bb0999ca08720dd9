"""The compile stage where torch serves: no graph is made. Networks are held against the weights. What is compiled of them are
artifacts, made where the target's device is (``prebake.bake.network_artifacts``)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from inspect import getfile
from pathlib import Path

import torch

from entrypoints.networks import Misfit, Parts, build_network, find_tensors
from prebake.bake.documents import canonical_json, digest_file, digest_json, digest_sources, sealed
from prebake.bake.errors import WeightsError
from prebake.bake.image_files import place_rest
from prebake.bake.job import Files, Job, own_weights, weight_files
from prebake.bake.manifest import MANIFEST, describe
from prebake.bake.settings import REPORT

LOADER = ("ahead.py", "compiled.py", "networks.py")
"""The container's modules by which networks are loaded and what was compiled of them is opened."""


def compile_networks(job: Job, out: Path) -> None:
    """Assets, warm-up and manifest under ``out/models``, and ``out/report.json``.

    Raises WeightsError with every tensor of every component that is missing, unexpected or of another shape.
    """
    files = weight_files(job)
    parts = parts_of(job, files)
    tensors = check_networks(job, parts)
    target = out / "models"
    place_rest(job, files, target)
    manifest = describe(job.settings, [], files, job.exported.warmup)
    manifest["components"] = {name: _component(job, each, files) for name, each in parts.items()}
    runtime = {"module": job.settings.networks, "device": device_of(job.settings.target)}
    manifest["torch"] = {**runtime, "compiled": job.settings.compiled}
    (target / MANIFEST).write_bytes(sealed(manifest))
    (out / REPORT).write_bytes(canonical_json({name: _told(job, name, count) for name, count in tensors.items()}))


def device_of(target: str) -> str:
    """Torch's word for where a target computes."""
    return "cpu" if target == "cpu" else "cuda"


def parts_of(job: Job, files: Files) -> dict[str, Parts]:
    """What each component is made of."""
    return {name: _parts(job, name, files) for name in sorted(job.settings.components)}


def key_fields(job: Job, parts: Parts, files: Files) -> dict[str, object]:
    """Everything that a component follows from. Its sha256 is the component's key."""
    return {
        "config": files[parts.config]["sha256"],
        "weights": {path: files[path]["sha256"] for path in parts.weights},
        "networks": job.settings.model_revision,
        "loader": {name: digest_file(Path(getfile(find_tensors)).with_name(name)) for name in LOADER},
        "target": job.settings.target,
        "precision": job.settings.components[parts.name].precision.type,
        "versions": {"torch": torch.__version__},
        "bake": digest_sources(Path(__file__).parent),
    }


def _parts(job: Job, name: str, files: Files) -> Parts:
    return Parts(job.models, name, job.settings.config(name), tuple(own_weights(job.settings.folder(name), files)))


def check_networks(job: Job, parts: Mapping[str, Parts]) -> dict[str, int]:
    """How many tensors each component has. Nothing but headers is read. Raises WeightsError."""
    build, problems = importlib.import_module(job.settings.networks).build, list[str]()
    counts = {}
    for name, each in parts.items():
        try:
            counts[name] = len(find_tensors(build_network(build, each), each))
        except Misfit as misfit:
            problems += misfit.problems
        else:
            print(f"{name}: compiled, {counts[name]} tensors found in {len(each.weights)} files", file=sys.stderr)
    if problems:
        raise WeightsError(
            "Networks and weights do not fit each other:" + "".join(f"\n  {problem}" for problem in problems),
            next_action="Fetch configuration and weights from one and the same revision, or correct model_torch.py.",
        )
    return counts


def _told(job: Job, name: str, tensors: int) -> dict[str, object]:
    """For the build's report. What the precision costs shows in the answer alone, which every start compares."""
    return {"precision": job.settings.components[name].precision.type, "tensors": tensors}


def _component(job: Job, parts: Parts, files: Files) -> dict[str, object]:
    fields = key_fields(job, parts, files)
    return {
        "runtime": "torch",
        "config": parts.config,
        "precision": fields["precision"],
        "reads": {path: [[0, files[path]["size"]]] for path in parts.weights},
        "key": digest_json(fields),
        "key_fields": fields,
    }
