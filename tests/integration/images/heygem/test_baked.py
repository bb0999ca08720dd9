"""What a baked folder holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from images.heygem import model
from tests.integration.images.heygem.conftest import SHIPPED


def manifest(baked: Path) -> dict[str, Any]:
    return dict(json.loads((baked / "manifest.json").read_bytes()))


def test_the_weights_are_shipped_as_published(baked: Path, checkpoint: Path) -> None:
    files = manifest(baked)["files"]
    for name in SHIPPED:
        digest = hashlib.sha256((checkpoint / name).read_bytes()).hexdigest()
        assert hashlib.sha256((baked / name).read_bytes()).hexdigest() == digest
        assert (files[name]["origin"], files[name]["sha256"]) == ("published", digest)


def test_two_graphs_read_one_file(baked: Path) -> None:
    for name in ("vae_encoder", "vae_decoder"):
        graph = onnx.load(str(baked / "vae" / f"{name}.onnx"), load_external_data=False).graph
        places = {entry.value for each in graph.initializer for entry in each.external_data if entry.key == "location"}
        assert places == {"diffusion_pytorch_model.safetensors"}
    assert [path.name for path in (baked / "vae").glob("*.safetensors")] == ["diffusion_pytorch_model.safetensors"]


def test_the_warm_up_answer_is_the_frameworks(baked: Path, served: model.HeyGem) -> None:
    warmup = manifest(baked)["warmup"]
    fields = json.loads((baked / warmup["request"]).read_bytes())["fields"]
    form = {
        name: (baked / value["file"]).read_bytes() if isinstance(value, dict) else value
        for name, value in fields.items()
    }
    answer = served.generate(form, lambda: False)
    assert answer.media_type == warmup["media_type"] == "application/json"
    got = np.array(json.loads(answer.body)["frames"])
    wanted = np.array(json.loads((baked / warmup["answer"]).read_bytes())["frames"])
    assert got.shape == wanted.shape == (2, 3, 8, 8)
    assert np.abs(got - wanted).max() < warmup["tolerance"]
    assert wanted.std() > 0.05  # a picture, and no even surface
