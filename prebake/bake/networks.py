"""The compile stage where torch serves: no graph is made. Networks are held against the weights, and what ``torch.compile``
makes of their blocks is kept, where the target's device is there."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from entrypoints.compiled import ARTIFACT, compile_blocks, describe_machine, save_cache
from entrypoints.contract import Model
from entrypoints.networks import Misfit, NetworkSession, Parts, build_network, find_tensors, load_network
from prebake.bake.compile import Files, Job, own_weights, place_rest, weight_files
from prebake.bake.documents import canonical_json, digest_json, digest_sources
from prebake.bake.errors import WeightsError
from prebake.bake.manifest import MANIFEST, describe, file_entry
from prebake.bake.settings import REPORT

NO_DEVICE = "the builder had no CUDA device, so that no compile cache was baked"


def compile_networks(job: Job, out: Path) -> None:
    """Assets, warm-up, manifest and compile cache under ``out/models``, and ``out/report.json``.

    Raises WeightsError with every tensor of every component that is missing, unexpected or of another shape.
    """
    files = weight_files(job)
    parts = {name: _parts(job, name, files) for name in sorted(job.settings.components)}
    tensors = _check(job, parts)
    target = out / "models"
    place_rest(job, files, target)
    cache = _cache(job, parts, files, target)
    manifest = describe(job.settings, [], files, job.exported.warmup)
    manifest["components"] = {name: _component(job, each, files) for name, each in parts.items()}
    manifest["torch"] = {"module": job.settings.networks, "device": device_of(job.settings.target), **cache}
    (target / MANIFEST).write_bytes(canonical_json(manifest))
    (out / REPORT).write_bytes(canonical_json({name: _told(job, name, count) for name, count in tensors.items()}))


def device_of(target: str) -> str:
    """Torch's word for where a target computes."""
    return "cpu" if target == "cpu" else "cuda"


def make_cache(job: Job, parts: Mapping[str, Parts], device: str) -> bytes:
    """What ``torch.compile`` makes of the networks' blocks while they answer the warm-up request on this machine's device."""
    build = importlib.import_module(job.settings.networks).build
    sessions = {}
    for name, each in parts.items():
        network = build_network(build, each)
        module = load_network(network, each, device, job.settings.components[name].precision.type)
        compile_blocks(network.blocks)
        sessions[name] = NetworkSession(module, network.outputs, device)
    model: Model = importlib.import_module(job.settings.module).create(_Opened(job, sessions))
    model.generate(_warmup_form(job, model), lambda: False)
    return save_cache()


class _Opened:
    """The port that models are given, over the stage's folders."""

    def __init__(self, job: Job, sessions: Mapping[str, NetworkSession]) -> None:
        self._job = job
        self._sessions = sessions

    def session(self, name: str) -> NetworkSession:
        return self._sessions[name]

    def path(self, name: str) -> Path:
        made = self._job.exported.model_file(name)
        return made if made.exists() else self._job.models / name


def _warmup_form(job: Job, model: Model) -> dict[str, Any]:
    """The warm-up request as the server would hand it to the model."""
    request = job.exported.model_file(job.exported.warmup["request"])
    given = json.loads(request.read_bytes())["fields"]
    read = {
        name: job.exported.model_file(value["file"]).read_bytes() if isinstance(value, dict) else value
        for name, value in given.items()
    }
    return {**{field.name: field.default for field in model.fields if field.default is not None}, **read}


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


def _cache(job: Job, parts: Mapping[str, Parts], files: Files, target: Path) -> dict[str, object]:
    """The manifest's words on the compile cache. A CPU's needs a C++ compiler at start, which no image has."""
    device = device_of(job.settings.target)
    if device == "cpu" or not torch.cuda.is_available():
        reason = "" if device == "cpu" else NO_DEVICE
        if reason:
            print(f"torch: compiled, nothing: {reason}", file=sys.stderr)
        return {"cache": "", "fields": {}, "reason": reason}
    return keep_cache(make_cache(job, parts, device), device, files, target)


def keep_cache(content: bytes, device: str, files: Files, target: Path) -> dict[str, object]:
    """The cache as a file of the image, and the manifest's words on it."""
    path = target / ARTIFACT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    files[ARTIFACT] = file_entry(path, "compiled")
    print(f"torch: compiled, a cache of {len(content)} bytes", file=sys.stderr)
    return {"cache": ARTIFACT, "fields": describe_machine(device), "reason": ""}


def _told(job: Job, name: str, tensors: int) -> dict[str, object]:
    """For the build's report. What the precision costs shows in the answer alone, which every start compares."""
    return {"precision": job.settings.components[name].precision.type, "tensors": tensors}


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
