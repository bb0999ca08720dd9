"""The compile key: what a component's compiled graph follows from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import onnx_ir as ir
import onnxruntime as ort

from prebake.bake.documents import digest_file, digest_sources
from prebake.bake.job import Files, Job, own_weights


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
