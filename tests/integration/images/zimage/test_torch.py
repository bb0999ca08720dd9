"""Z-Image served by torch: the published files as they are, the pipeline's own images, and the graphs'."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from images.zimage import model
from images.zimage.export import HALF_TOLERANCE
from images.zimage.model import ZImage
from images.zimage.naive import NaiveZImage
from images.zimage.pictures import Picture
from images.zimage.request import Request, from_form
from tests.support.bake.host_bake import bake_folder
from tests.support.container.running import running
from tests.support.models.zimage_serving import ask, numbers, open_baked, torch_settings

PROMPTS = ("", "a cat in the light of a river", "Größe, naïve café, 東京 🙂. " + "many the words with it " * 12)


def request(prompt: str = PROMPTS[1], width: int = 64, height: int = 64, steps: int = 3) -> Request:
    given = {"prompt": prompt, "width": width, "height": height, "steps": steps, "seed": 1, "count": 1}
    return from_form({**given, "output": "png"})


def paint(served: ZImage, asked: Request) -> Picture:
    (picture,) = served.paint(asked, lambda _: None)
    return picture


@pytest.mark.parametrize(
    ("prompt", "width", "height"), [(PROMPTS[0], 64, 64), (PROMPTS[1], 96, 80), (PROMPTS[2], 208, 144)]
)
def test_it_paints_what_the_pipeline_paints(
    served_by_torch: ZImage, published: NaiveZImage, prompt: str, width: int, height: int
) -> None:
    asked = request(prompt, width, height)
    ours, (wanted,) = paint(served_by_torch, asked), published.paint(asked)
    assert ours.pixels.shape == (height, width, 3)
    assert np.abs(ours.latent - wanted.latent).max() < 1e-4
    assert np.abs(ours.pixels - wanted.pixels).max() < 1e-4
    assert wanted.pixels.std() > 0.1


def test_both_runtimes_give_one_image_for_one_seed(served_by_torch: ZImage, served: ZImage) -> None:
    asked = request(steps=9)
    ours, graphs = paint(served_by_torch, asked), paint(served, asked)
    assert np.abs(ours.latent - graphs.latent).max() < 1e-4
    assert np.abs(ours.pixels - graphs.pixels).max() < 1e-4


def test_what_is_shipped_is_what_was_published(baked_for_torch: Path, checkpoint: Path) -> None:
    manifest = json.loads((baked_for_torch / "manifest.json").read_bytes())
    origins = {path: entry["origin"] for path, entry in manifest["files"].items()}
    assert set(origins.values()) == {"published", "asset", "warmup"}
    for path in (path for path, origin in origins.items() if origin == "published"):
        assert manifest["files"][path]["sha256"] == hashlib.sha256((checkpoint / path).read_bytes()).hexdigest()
    for name, component in manifest["components"].items():
        weights = {path.relative_to(checkpoint).as_posix() for path in checkpoint.glob(f"{name}/*.safetensors")}
        assert component["byte_ranges"] == {path: [[0, manifest["files"][path]["size"]]] for path in weights}


def test_the_warm_up_answer_is_the_pipelines(baked_for_torch: Path, served_by_torch: ZImage) -> None:
    assert differ(baked_for_torch, served_by_torch) < 1e-4


def test_the_server_answers_as_the_pipeline_does(baked_for_torch: Path, published: NaiveZImage, tmp_path: Path) -> None:
    fields = {"prompt": PROMPTS[1], "width": 96, "height": 64, "steps": 3, "seed": 5, "output": "latents"}
    with running(baked_for_torch, tmp_path, {}) as server:
        startup = server.wait_for("ready", patience=300).get("/startup").json()
        response = server.post(json=fields, timeout=120)
    print(f"ready after {startup['ready_seconds']} s, imports {startup['imports']}")
    assert response.status_code == 200, response.text
    assert startup["notices"] == []
    assert {"import torch", "open text_encoder", "open transformer", "open vae"} <= {
        phase["name"] for phase in startup["phases"]
    }
    wanted = numbers(json.loads(published.generate(fields)[0])["images"])
    assert np.abs(numbers(response.json()["images"]) - wanted).max() < 1e-4


def test_in_half_precision_it_stays_within_its_bound(checkpoint: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    bake_folder("zimage", checkpoint, torch_settings(checkpoint, "bf16"), models)
    tolerance = json.loads((models / "manifest.json").read_bytes())["warmup"]["tolerance"]
    assert tolerance == HALF_TOLERANCE
    assert 1e-4 < differ(models, model.create(open_baked(models).components)) < tolerance


def differ(models: Path, served: ZImage) -> float:
    """How far the answer to the warm-up request is from the reference."""
    warmup = json.loads((models / "manifest.json").read_bytes())["warmup"]
    fields = json.loads((models / warmup["request"]).read_bytes())["fields"]
    got = numbers(json.loads(ask(served, **fields).body)["images"])
    return float(np.abs(got - numbers(json.loads((models / warmup["answer"]).read_bytes())["images"])).max())
