"""``prebake init`` from transformers folders with weights of every form, and all the way to a container."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import pipeline

from prebake.docker.connection import Connection
from tests.support.collection.sampled import sampled
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Project, clone, reach, read_lock
from tests.support.models import pretrained
from tests.support.models.generated import Baked, difference
from tests.support.serving import serving

TEXTS = ["The container is warm.", "A big image and nothing in it", "request come " * 60]
Begun = Callable[[str, Callable[[Path], object]], Baked]


def scores_by_pipeline(folder: Path) -> list[dict[str, float]]:
    classify = pipeline("text-classification", model=str(folder), device="cpu", dtype=torch.float32)
    found = classify(TEXTS, top_k=None, truncation=True)
    return [{each["label"]: each["score"] for each in scores} for scores in found]


def test_a_classifier_becomes_a_container_that_answers_as_the_pipeline(engine: Connection, tmp_path: Path) -> None:
    project = clone(tmp_path / "project", variables=reach(engine))
    folder = project.root / "published"
    pretrained.write_classifier(folder)
    assert project.run("init", "moods", "--from", "published", "--license", "MIT").expect(0).stdout == "images/moods\n"
    with image_name(engine) as tag:
        project.run("--model", "moods", "--tag", tag).expect(0)
        with serving(engine, tag) as service:
            response = service.post(json={"texts": "\n".join(TEXTS)})
            assert response.status_code == 200, response.text
            results = response.json()["results"]
            message, fields = service.refusal(422, json={"texts": " "})
            assert "no text" in message
            assert list(fields) == ["texts"]
    assert difference([each["scores"] for each in results], scores_by_pipeline(folder)) < 1e-4


@pytest.mark.parametrize("kind", sampled(["sharded", "half", "pickled"], "sharded"))
def test_weights_of_every_form_give_the_frameworks_answers(begun: Begun, beginner: Project, kind: str) -> None:
    name = f"form_{kind}"
    folder = beginner.root / "published" / name

    def write(folder: Path) -> None:
        pretrained.write_classifier(folder, {"max_shard_size": "20KB"} if kind == "sharded" else None)
        tensors = load_file(folder / "model.safetensors") if kind != "sharded" else {}
        if kind == "half":
            save_file(
                {key: each.half() for key, each in tensors.items()}, folder / "model.safetensors", {"format": "pt"}
            )
        if kind == "pickled":
            torch.save(tensors, folder / "pytorch_model.bin")
            (folder / "model.safetensors").unlink()

    baked = begun(name, write)
    shipped = {file.path for file in read_lock(beginner, name).checkpoints["local"].files if file.ship}
    derived = (baked.folder / name / "model.safetensors").is_file()
    assert derived == (kind != "sharded")
    assert any(path.endswith(".safetensors") for path in shipped) == (kind == "sharded")
    results = baked.answer({"texts": "\n".join(TEXTS)})["results"]
    assert difference([each["scores"] for each in results], scores_by_pipeline(folder)) < 1e-4
