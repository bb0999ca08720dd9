"""Z-Image out of its container: a sentence in, images out, diffusers' own pixels; a clear no for the rest."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest
from PIL import Image

from images.zimage import naive
from tests.support.commands.built_images import lay_out_checkpoint
from tests.support.commands.projects import Built
from tests.support.models.zimage_serving import numbers
from tests.support.serving import Service

SMALL = {"prompt": "a cat in the light of a river", "width": 96, "height": 64, "steps": 3}


@pytest.fixture
def service(zimage_service: Service) -> Service:
    return zimage_service


@pytest.fixture(scope="module")
def published(zimage: Built, tmp_path_factory: pytest.TempPathFactory) -> naive.NaiveZImage:
    """The same checkpoint by diffusers."""
    return naive.load(lay_out_checkpoint(zimage, tmp_path_factory.mktemp("checkpoint")))


@pytest.mark.parametrize(
    "fields",
    [
        {**SMALL, "output": "latents"},
        {**SMALL, "output": "pixels", "prompt": "", "width": 64, "seed": 7},
        {**SMALL, "output": "latents", "prompt": "many words of light " * 20, "height": 144, "steps": 9, "count": 2},
    ],
)
def test_it_paints_what_the_pipeline_paints(
    service: Service, published: naive.NaiveZImage, fields: dict[str, Any]
) -> None:
    response = service.post(data={name: str(value) for name, value in fields.items()})
    assert response.status_code == 200, response.text
    wanted, _ = published.generate(fields)
    ours, theirs = numbers(response.json()["images"]), numbers(json.loads(wanted)["images"])
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-4


def test_one_is_a_png_and_several_a_zip_of_them(service: Service) -> None:
    one, two = service.post(json={**SMALL, "seed": 6}), service.post(json={**SMALL, "seed": 5, "count": 2})
    assert (one.headers["content-type"], two.headers["content-type"]) == ("image/png", "application/zip")
    with Image.open(io.BytesIO(one.content)) as image:
        assert (image.size, image.mode) == ((96, 64), "RGB")
        assert np.asarray(image).std() > 10
    with zipfile.ZipFile(io.BytesIO(two.content)) as archive:
        assert archive.namelist() == ["0.png", "1.png"]
        assert archive.read("1.png") == one.content


def test_steps_are_told_while_it_paints(service: Service) -> None:
    response = service.post(json={**SMALL, "count": 2}, headers={"accept": "text/event-stream"})
    events = [dict(line.split(": ", 1) for line in event.splitlines()) for event in response.text.strip().split("\n\n")]
    told = [json.loads(event["data"]) for event in events if event.get("event") == "progress"]
    assert told[-1] == {"step": 6, "steps": 6}
    assert [each["step"] for each in told] == sorted({each["step"] for each in told})
    assert events[-1]["event"] == "answer"
    answer = json.loads(events[-1]["data"])
    assert answer["media_type"] == "application/zip"
    assert base64.b64decode(answer["body"]) == service.post(json={**SMALL, "count": 2}).content


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"steps": 0}, "steps should be at least 1"),
        ({"width": 100}, "the nearest are 96 and 112"),
        ({"prompt": "x" * 600}, "tokens: send"),
        ({"prompt": "x" * 6000}, "5000"),
        ({"count": 9}, "at most 8"),
    ],
)
def test_what_cannot_be_painted_is_refused_in_words(service: Service, fields: dict[str, Any], words: str) -> None:
    message, named = service.refusal(422, json={**SMALL, **fields})
    assert words in message
    assert named.keys() == fields.keys()
    assert service.is_ready()


def test_the_transformer_is_shipped_as_published(zimage: Built) -> None:
    files = {name for layer in zimage.report["layers"] if layer["kind"] == "weights" for name in layer["inputs"]}
    assert {name for name in files if name.endswith(".safetensors")} == {
        f"transformer/diffusion_pytorch_model-0000{part}-of-00002.safetensors" for part in (1, 2)
    }
