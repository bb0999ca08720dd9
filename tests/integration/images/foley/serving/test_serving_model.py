"""The model from form to answer, through real graphs small enough to work the answer out."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from entrypoints.contract import Answer, BadRequest, Cancelled
from images.foley.media.pixels import image_values, sync_values
from images.foley.media.scaling import scale_image, scale_sync
from images.foley.model import Foley, create
from tests.support.foley.clips import Clip, make_clip
from tests.support.foley.graphs import Folder

VIDEO = make_clip(Clip(times=range(0, 1200, 40)))
AT_8 = [0, 4, 7, 10, 13, 16, 19, 22, 25, 29]
AT_25 = [0, 1, 2, 3, 4, 5, 7, *range(7, 18), *range(19, 30)]
"""Of 30 frames: 29, for which the latent has 57 steps."""
WINDOWS = [(0, 16), (8, 24)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model(folder: Path) -> Foley:
    return create(Folder(folder))


class Countdown:
    """Cancelled from the ``count``-th time on that the image's code asks; the wait for a decoder asks again and again."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> bool:
        if "/decoding/" not in sys._getframe(1).f_code.co_filename:
            self.left -= 1
        return self.left <= 0


NEVER = Countdown(10**9)


def ask(model: Foley, cancelled: Countdown = NEVER, **changes: object) -> Answer:
    defaults = {field.name: field.default for field in model.fields if field.default is not None}
    return model.generate(defaults | {"video": VIDEO, "prompt": "a dog", "steps": 3} | changes, cancelled)


def samples_of(answer: Answer) -> NDArray[np.float32]:
    return np.frombuffer(answer.body[answer.body.index(b"data") + 8 :], "<f4")


def told(folder: Path, prompt: str, negative: str) -> tuple[float, float]:
    """What the small transformer is told in all, without and with the conditions."""
    tokenizer = Tokenizer.from_file(str(folder / "clap" / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = [tokenizer.encode(text).ids for text in (negative, prompt)]
    said = [sum(row) * 0.00075 / max(map(len, ids)) for row in ids]
    with av.open(io.BytesIO(VIDEO)) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    images = image_values([scale_image(frames[index]) for index in AT_8]).mean(axis=(1, 2, 3), dtype=np.float64)
    synced = sync_values([scale_sync(frames[index]) for index in AT_25]).mean(axis=(1, 2, 3), dtype=np.float64)
    windows = np.array([synced[first:end].mean() for first, end in WINDOWS])
    return said[0], said[1] + float(np.cumsum(images).mean() + np.cumsum(windows).mean())


def expect(pair: tuple[float, float], steps: int, guidance: float, seed: int) -> NDArray[np.float64]:
    """The answer in doubles, from the small graphs' definitions."""
    latents = np.random.RandomState(seed).standard_normal((128, 57))
    push = pair[0] + guidance * (pair[1] - pair[0])
    for sigma in 1 - np.arange(steps) / steps:
        latents = latents - (latents / 2 + push * sigma) / steps
    return np.repeat(np.tanh(latents.mean(axis=0)), 960)


@pytest.mark.parametrize(
    ("prompt", "negative", "steps", "guidance", "seed"),
    [
        ("a dog", "noisy, harsh", 3, 4.5, 1),
        ("a dog barks at the rain", "", 5, 1.5, 7),
        ("a dog", "noisy, harsh", 4, 1.0, 1),
        ("", "", 1, 20.0, 2**32 - 1),
    ],
)
def test_sound(model: Foley, folder: Path, prompt: str, negative: str, steps: int, guidance: float, seed: int) -> None:
    answer = ask(model, prompt=prompt, negative_prompt=negative, steps=steps, guidance=guidance, seed=seed)
    assert answer.media_type == "audio/wav"
    wanted = expect(told(folder, prompt, negative), steps, guidance, seed)
    np.testing.assert_allclose(samples_of(answer), wanted, atol=2e-5)


def test_the_defaults(model: Foley) -> None:
    defaults = {field.name: field.default for field in model.fields}
    assert defaults == {
        "video": None,
        "prompt": None,
        "negative_prompt": "noisy, harsh",
        "steps": 50,
        "guidance": 4.5,
        "seed": 1,
        "output": "wav",
        "trim": "no",
    }
    assert [field.name for field in model.fields if field.required] == ["video", "prompt"]


def test_the_same_form_gives_the_same_bytes(model: Foley) -> None:
    assert ask(model).body == ask(model).body
    assert ask(model).body != ask(model, seed=2).body


def test_video_with_sound(model: Foley) -> None:
    answer = ask(model, output="video")
    assert answer.media_type == "video/mp4"
    with av.open(io.BytesIO(answer.body)) as file:
        heard = sum(frame.samples for frame in file.decode(audio=0))
    assert 57 * 960 <= heard < 57 * 960 + 1024


def test_trim(model: Foley) -> None:
    long = make_clip(Clip(times=range(0, 16000, 200), size=(32, 32)))
    with pytest.raises(BadRequest, match=r"is 15\.84 s long") as refused:
        ask(model, video=long)
    assert (refused.value.field, refused.value.status) == ("video", 422)
    assert len(samples_of(ask(model, video=long, trim="yes", steps=1))) == 752 * 960


def test_texts_are_looked_at_before_the_video(model: Foley) -> None:
    with pytest.raises(BadRequest, match="prompt is 78 tokens long"):
        ask(model, prompt="z" * 76, video=b"not a video")


def test_cancellation_at_every_point(model: Foley) -> None:
    """While the video is decoded, before 5 batches of images, 2 windows and 3 steps; then there is nothing left to stop."""
    for count in (0, 1, 5, 6, 7, 8, 10):
        with pytest.raises(Cancelled):
            ask(model, Countdown(count))
    assert ask(model, Countdown(11)).body == ask(model).body
