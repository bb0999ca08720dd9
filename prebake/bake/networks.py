"""The compile stage where torch serves: no graph is made. Networks are held against the weights, and their blocks are compiled
where the target's device is there (``prebake.bake.precompiled``)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from entrypoints.networks import Misfit, Parts, build_network, find_tensors
from prebake.bake.compile import Files, Job, own_weights, place_rest, weight_files
from prebake.bake.documents import canonical_json, digest_json, digest_sources, sealed
from prebake.bake.errors import WeightsError
from prebake.bake.manifest import MANIFEST, describe
from prebake.bake.precompiled import Precompiled, precompile
from prebake.bake.settings import REPORT


def compile_networks(job: Job, out: Path) -> None:
    """Assets, warm-up, manifest and what was compiled under ``out/models``, and ``out/report.json``.

    Raises WeightsError with every tensor of every component that is missing, unexpected or of another shape.
    """
    files = weight_files(job)
    parts = {name: _parts(job, name, files) for name in sorted(job.settings.components)}
    tensors = _check(job, parts)
    target = out / "models"
    place_rest(job, files, target)
    compiled = precompile(job, parts, device_of(job.settings.target), files, target)
    manifest = describe(job.settings, [], files, job.exported.warmup)
    manifest["components"] = {name: _component(job, each, files) for name, each in parts.items()}
    manifest["torch"] = {"module": job.settings.networks, "device": device_of(job.settings.target), **compiled.manifest}
    (target / MANIFEST).write_bytes(sealed(manifest))
    (out / REPORT).write_bytes(
        canonical_json({name: _told(job, name, count, compiled) for name, count in tensors.items()})
    )


def device_of(target: str) -> str:
    """Torch's word for where a target computes."""
    return "cpu" if target == "cpu" else "cuda"


def _parts(job: Job, name: str, files: Files) -> Parts:
    return Parts(job.models, name, job.settings.config(name), tuple(own_weights(job.settings.folder(name), files)))


def _check(job: Job, parts: Mapping[str, Parts]) -> dict[str, int]:
    """How many tensors each component has. Nothing but headers is read."""
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


def _told(job: Job, name: str, tensors: int, compiled: Precompiled) -> dict[str, object]:
    """For the build's report. What the precision costs shows in the answer alone, which every start compares."""
    return {"precision": job.settings.components[name].precision.type, "tensors": tensors, "compiled": compiled.report}


def _component(job: Job, parts: Parts, files: Files) -> dict[str, object]:
    precision = job.settings.components[parts.name].precision.type
    fields = {
        "config": files[parts.config]["sha256"],
        "weights": {path: files[path]["sha256"] for path in parts.weights},
        "networks": job.settings.model_revision,
        "target": job.settings.target,
        "precision": precision,
        "versions": {"torch": torch.__version__},
        "bake": digest_sources(Path(__file__).parent),
    }
    return {
        "runtime": "torch",
        "config": parts.config,
        "precision": precision,
        "reads": {path: [[0, files[path]["size"]]] for path in parts.weights},
        "key": digest_json(fields),
        "key_fields": fields,
    }
