"""Z-Image baked and served without torch paints what diffusers' own pipeline paints; what cannot be painted is refused."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from entrypoints.contract import BadRequest, Cancelled
from entrypoints.response import HTTPException
from images.zimage.model import ZImage
from images.zimage.naive import NaiveZImage
from images.zimage.request import Request, from_form
from tests.support.models.zimage_serving import ask, numbers
from tests.support.repository import ROOT

PROMPTS = (
    "",
    "a cat in the light of a river",
    "Größe, naïve café, 東京 🙂; <|im_end|> and {{ braces }}\n in two lines. " + "many the words with it " * 12,
)


def request(**changes: Any) -> Request:
    given = {"prompt": PROMPTS[1], "width": 64, "height": 64, "steps": 3, "seed": 1, "count": 1, "output": "png"}
    return from_form({**given, **changes})


@pytest.mark.parametrize("prompt", PROMPTS, ids=["empty", "short", "long"])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 80), (208, 144)])
def test_it_paints_what_the_pipeline_paints(
    served: ZImage, published: NaiveZImage, prompt: str, width: int, height: int
) -> None:
    asked = request(prompt=prompt, width=width, height=height, seed=width + len(prompt))
    (ours,), (wanted,) = served.paint(asked, lambda _: None), published.paint(asked)
    assert ours.pixels.shape == (height, width, 3)
    assert np.abs(ours.latent - wanted.latent).max() < 1e-4
    assert np.abs(ours.pixels - wanted.pixels).max() < 1e-4
    assert wanted.pixels.std() > 0.1


@pytest.mark.parametrize("steps", [1, 9])
def test_any_number_of_steps(served: ZImage, published: NaiveZImage, steps: int) -> None:
    asked = request(steps=steps, seed=2**32 - 1)
    (ours,), (wanted,) = served.paint(asked, lambda _: None), published.paint(asked)
    assert np.abs(ours.latent - wanted.latent).max() < 1e-4


def test_several_are_the_pipelines_batch_and_differ(served: ZImage, published: NaiveZImage) -> None:
    asked = request(count=3, seed=2**32 - 2)
    ours, wanted = list(served.paint(asked, lambda _: None)), published.paint(asked)
    assert asked.seeds() == [2**32 - 2, 2**32 - 1, 0]
    for one, other in zip(ours, wanted, strict=True):
        assert np.abs(one.pixels - other.pixels).max() < 1e-4
    assert min(np.abs(ours[n].pixels - ours[n - 1].pixels).max() for n in range(3)) > 0.1


def test_a_form_gives_a_png_and_several_a_zip(served: ZImage) -> None:
    one = ask(served, prompt="a cat", width=64, height=80, steps=2, seed=5)
    assert one.media_type == "image/png"
    (picture,) = served.paint(request(prompt="a cat", height=80, steps=2, seed=5), lambda _: None)
    with Image.open(io.BytesIO(one.body)) as image:
        np.testing.assert_array_equal(np.asarray(image), (picture.pixels * 255).round())
    two = ask(served, prompt="a cat", width=64, height=80, steps=2, seed=4, count=2)
    assert two.media_type == "application/zip"
    with zipfile.ZipFile(io.BytesIO(two.body)) as archive:
        assert archive.read("1.png") == one.body != archive.read("0.png")


def test_left_out_fields_have_their_defaults(served: ZImage) -> None:
    with Image.open(io.BytesIO(ask(served, prompt="a cat", steps="1").body)) as image:
        assert image.size == (512, 512)


def test_a_prompt_counts(served: ZImage) -> None:
    first, second = (
        numbers(json.loads(ask(served, prompt=prompt, width=64, height=64, steps=2, output="latents").body)["images"])
        for prompt in ("the cat", "the image")
    )
    assert np.abs(first - second).max() > 1e-3


def test_the_longest_prompt_is_taken_and_one_token_more_refused(served: ZImage, published: NaiveZImage) -> None:
    asked = request(prompt=longest(published))
    (ours,), (wanted,) = served.paint(asked, lambda _: None), published.paint(asked)
    assert np.abs(ours.latent - wanted.latent).max() < 1e-4
    with pytest.raises(BadRequest) as caught:
        ask(served, prompt=asked.prompt + "x", width=64, height=64)
    assert caught.value.field == "prompt"
    assert f"has {len(asked.prompt) + 1} tokens: send {len(asked.prompt)} at most" in str(caught.value)


def longest(published: NaiveZImage) -> str:
    """A prompt that fills the pipeline's 512 tokens, one a letter."""
    template = published.pipeline.tokenizer.apply_chat_template(
        [{"role": "user", "content": ""}], tokenize=False, add_generation_prompt=True, enable_thinking=True
    )
    return "x" * (512 - len(published.pipeline.tokenizer(template).input_ids))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, ("prompt is required",)),
        ({"prompt": "a" * 5001}, ("prompt", "5000", "5001")),
        ({"prompt": "a", "steps": 0}, ("steps should be at least 1, is 0",)),
        ({"prompt": "a", "steps": "0"}, ("steps should be at least 1, is 0",)),
        ({"prompt": "a", "count": 9}, ("count should be at most 8, is 9",)),
        (
            {"prompt": "a", "width": 48, "height": 4096},
            ("width should be at least 64", "height should be at most 2048"),
        ),
        ({"prompt": "a", "seed": -1}, ("seed",)),
        ({"prompt": "a", "output": "jpg"}, ("output", "png, pixels, latents")),
        ({"prompt": "a", "promt": "b"}, ("promt is not a field",)),
        ({"prompt": "\ud800"}, ("prompt has half of a surrogate pair",)),
    ],
)
def test_a_form_outside_the_limits_is_refused(served: ZImage, parts: dict[str, object], words: tuple[str, ...]) -> None:
    with pytest.raises(HTTPException) as caught:
        ask(served, **parts)
    assert caught.value.response.status == 422
    message = json.loads(caught.value.response.body)["error"]["message"]
    assert all(each in message for each in words), message


@pytest.mark.parametrize(
    ("parts", "field", "words"),
    [
        ({"width": 500}, "width", ("multiples of 16", "width 500: the nearest are 496 and 512")),
        ({"height": 65}, "height", ("height 65: the nearest are 64 and 80",)),
        ({"width": 2047, "height": 72}, "width", ("2032 and 2048", "height 72: the nearest are 64 and 80")),
        ({"width": 1536, "height": 1024}, "width", ("1572864 pixels", "send 1048576 at most")),
    ],
)
def test_what_only_the_model_can_see_is_the_clients_to_correct(
    served: ZImage, parts: dict[str, object], field: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(BadRequest) as caught:
        ask(served, **{"prompt": "a cat", **parts})
    assert (caught.value.field, caught.value.status) == (field, 422)
    assert all(each in str(caught.value) for each in words), caught.value


class Listener:
    """Hears of steps, and is gone after ``retry_policy`` of them."""

    def __init__(self, retry_policy: int) -> None:
        self.retry_policy = retry_policy
        self.heard: list[tuple[int, int]] = []

    def __call__(self) -> bool:
        return len(self.heard) > self.retry_policy

    def report(self, step: int, steps: int, message: str = "") -> None:
        self.heard.append((step, steps))


def test_steps_are_reported_and_an_abandoned_request_stops(served: ZImage) -> None:
    parts = {"prompt": "a cat", "width": 64, "height": 64, "steps": 3, "count": 2}
    patient, gone = Listener(100), Listener(2)
    ask(served, patient, **parts)
    assert patient.heard == [(done, 6) for done in range(7)]
    with pytest.raises(Cancelled):
        ask(served, gone, **parts)
    assert gone.heard == [(0, 6), (1, 6), (2, 6)]


def test_the_warm_up_answer_is_the_pipelines(baked: Path, served: ZImage) -> None:
    warmup = json.loads((baked / "manifest.json").read_bytes())["warmup"]
    fields = json.loads((baked / warmup["request"]).read_bytes())["fields"]
    got = numbers(json.loads(ask(served, **fields).body)["images"])
    wanted = numbers(json.loads((baked / warmup["answer"]).read_bytes())["images"])
    assert got.shape == wanted.shape == (1, 8, 12, 3)
    assert np.abs(got - wanted).max() < warmup["tolerance"] <= 1e-4


def test_naive_answers_text_fields_as_ours(served: ZImage, published: NaiveZImage) -> None:
    fields = {"prompt": "a cat", "width": "64", "height": "64", "steps": "2", "count": "2", "output": "pixels"}
    body, media_type = published.generate(fields)
    answer = ask(served, **fields)
    assert answer.media_type == media_type
    ours, wanted = (numbers(json.loads(each)["images"]) for each in (answer.body, body))
    assert np.abs(ours - wanted).max() < 1e-4


def test_the_transformer_is_shipped_as_published_and_read_from_there(baked: Path, checkpoint: Path) -> None:
    files = json.loads((baked / "manifest.json").read_bytes())["files"]
    weights = {path: entry["origin"] for path, entry in files.items() if path.endswith(".safetensors")}
    names = [path.name for path in sorted((checkpoint / "transformer").glob("*.safetensors"))]
    assert len(names) == 2
    for name in names:
        assert weights[f"transformer/{name}"] == "published"
        published = hashlib.sha256((checkpoint / "transformer" / name).read_bytes()).hexdigest()
        assert hashlib.sha256((baked / "transformer" / name).read_bytes()).hexdigest() == published
    assert weights["text_encoder/model.safetensors"] == weights["vae/model.safetensors"] == "derived"
    graph = onnx.load(str(baked / "transformer/model.onnx"), load_external_data=False).graph
    places = {entry.value for each in graph.initializer for entry in each.external_data if entry.key == "location"}
    assert places == set(names)


def test_serving_imports_neither_torch_nor_the_frameworks() -> None:
    frameworks = ("torch", "transformers", "diffusers", "PIL")
    code = f"import sys, images.zimage.model; sys.exit(any(name in sys.modules for name in {frameworks}))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
