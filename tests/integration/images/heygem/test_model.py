"""The model from form to answer, over the baked sample, against torch, transformers and diffusers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from entrypoints.components.opener import Opener
from entrypoints.contract import Answer, BadRequest, Cancelled, Session
from images.heygem import model
from images.heygem.form import read_request
from images.heygem.media.colours import mean_colours
from images.heygem.media.voice import read_voice
from images.heygem.model import Scene
from images.heygem.naive import NaiveHeyGem
from tests.support.models.heygem_recordings import Watched, archive, click, film, portrait, record, speech, unpack

VOICE = record(speech(0.5))
FACE = portrait(1)


def never() -> bool:
    return False


def ask(served: model.HeyGem, **changes: object) -> Answer:
    defaults = {field.name: field.default for field in served.fields if field.default is not None}
    form = defaults | {"audio": VOICE, "face": FACE, "steps": 2} | changes
    return served.generate({name: value for name, value in form.items() if value is not None}, never)


def draw(served: model.HeyGem, audio: bytes, face: bytes, steps: int = 4, seed: int = 1) -> np.ndarray:
    """Pixels before they are encoded."""
    request = read_request({"audio": audio, "face": face, "steps": steps, "seed": seed, "output": "mp4"})
    voice = read_voice(audio)
    (seen,) = served.look(request, voice.frames, never).values()
    return np.concatenate(list(served.draw(Scene(served.listen(voice), seen, steps, seed), never)))


@pytest.mark.parametrize(
    ("seconds", "face", "steps", "seed"),
    [
        (0.5, FACE, 4, 1),
        (0.2, portrait(2, 300, 400), 1, 2**32 - 1),
        (0.37, film(range(4), side=128), 3, 7),
    ],
)
def test_pixels_are_the_frameworks(
    served: model.HeyGem, framework: NaiveHeyGem, seconds: float, face: bytes, steps: int, seed: int
) -> None:
    audio = record(speech(seconds, 44_100), "mp3", "libmp3lame", 44_100)
    got = draw(served, audio, face, steps, seed)
    wanted = np.concatenate(list(framework.draw(read_voice(audio), face, steps, seed)))
    assert got.shape == wanted.shape == (read_voice(audio).frames, 3, 256, 256)
    assert np.abs(got - wanted).max() < 1e-3
    assert got.std() > 0.1


def test_the_naive_answer_is_of_the_same_form(served: model.HeyGem, framework: NaiveHeyGem) -> None:
    fields = {"audio": record(speech(0.2)), "faces": archive({"a.png": FACE}), "steps": 1, "output": "frames"}
    body, media_type = framework.generate(fields)
    answer = ask(served, face=None, **fields)
    assert media_type == answer.media_type == "application/zip"
    assert unpack(body).keys() == unpack(answer.body).keys() == {"a.json"}
    movie, media_type = framework.generate({"audio": record(speech(0.2)), "face": FACE, "steps": "1"})
    assert media_type == "video/mp4"
    assert len(Watched(movie).pictures) == 5


def test_an_mp4_of_the_voices_length_with_the_voice(served: model.HeyGem) -> None:
    audio = record(speech(0.97, 44_100), "mp3", "libmp3lame", 44_100)
    answer = ask(served, audio=audio, steps=1)
    watched = Watched(answer.body)
    voice = read_voice(audio)
    assert answer.media_type == "video/mp4"
    assert watched.codecs == ("h264", "yuv420p", "aac")
    assert watched.pictures.shape == (voice.frames, 256, 256, 3)
    assert (watched.rate, watched.sound_rate) == (25, 48_000)
    assert watched.times == pytest.approx(np.arange(voice.frames) / 25, abs=1e-3)
    assert abs(len(watched.sound) - len(voice.sound)) < 0.04 * 48_000
    heard = watched.sound[: len(voice.sound)]
    assert np.corrcoef(heard, voice.sound[: len(heard)])[0, 1] > 0.95


def test_the_picture_survives_its_encoding(served: model.HeyGem) -> None:
    watched = Watched(ask(served, steps=4).body)
    drawn = draw(served, VOICE, FACE).transpose(0, 2, 3, 1) * 255
    assert np.corrcoef(watched.pictures.ravel(), drawn.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("at", [0.4, 0.41, 0.66, 0.87, 1.199])
def test_a_click_is_seen_when_it_is_heard(served: model.HeyGem, at: float) -> None:
    """Measured in the answer as a player gets it: not in what went in."""
    watched = Watched(ask(served, audio=record(click(1.4, at))).body)
    heard = watched.sound_start + np.flatnonzero(np.abs(watched.sound) > 0.2)[0] / watched.sound_rate
    change = np.abs(watched.pictures - np.median(watched.pictures, axis=0)).mean(axis=(1, 2, 3))
    seen = watched.times[int(np.flatnonzero(change > change.max() / 2)[0])]
    assert abs(heard - at) < 0.04
    assert abs(int(heard * 25) - round(seen * 25)) <= 1
    assert abs(seen - heard) < 0.045  # a vector of the audio encoder hears 25 ms
    assert change.max() > 3 * np.median(change)


def test_frames_as_numbers_are_the_same_pictures(served: model.HeyGem) -> None:
    answer = ask(served, output="frames", steps=4)
    document = json.loads(answer.body)
    assert (answer.media_type, document["frame_rate"]) == ("application/json", 25)
    assert np.abs(np.array(document["frames"]) - mean_colours(draw(served, VOICE, FACE))).max() < 1e-5


def test_one_voice_for_many_faces(served: model.HeyGem) -> None:
    faces = {"ann.png": FACE, "team/bob.mp4": film(range(3), side=96)}
    answer = ask(served, face=None, faces=archive(faces), output="frames")
    assert answer.media_type == "application/zip"
    films = {name: json.loads(body) for name, body in unpack(answer.body).items()}
    assert films["ann.json"] == json.loads(ask(served, output="frames").body)
    assert films["bob.json"] == json.loads(ask(served, face=faces["team/bob.mp4"], output="frames").body)
    assert films["ann.json"] != films["bob.json"]
    movies = unpack(ask(served, face=None, faces=archive(faces), steps=1).body)
    assert {name: len(Watched(body).pictures) for name, body in movies.items()} == {"ann.mp4": 13, "bob.mp4": 13}


def test_the_seed_and_the_steps_count(served: model.HeyGem) -> None:
    first = ask(served, output="frames").body
    assert ask(served, output="frames").body == first
    assert ask(served, output="frames", seed=2).body != first
    assert ask(served, output="frames", steps=3).body != first


def test_a_still_face_is_still_where_nothing_changes(served: model.HeyGem) -> None:
    """The noise is the same for each frame: a steady tone gives a steady picture."""
    steady = record(np.sin(np.arange(16_000) * 2 * np.pi * 200 / 16_000) * 0.3)
    frames = draw(served, steady, FACE)[6:-6]
    assert np.abs(frames - frames[0]).mean() < 0.02


def test_nothing_is_opened_or_read_again(opener: Opener) -> None:
    """The hundredth request is as fast as the second: the same sessions answer it, and no file is looked for."""

    class Counting:
        def __init__(self) -> None:
            self.paths: list[str] = []
            self.sessions: set[tuple[str, Session]] = set()

        def session(self, name: str) -> Session:
            session = opener.components.session(name)
            self.sessions.add((name, session))
            return session

        def path(self, name: str) -> Path:
            self.paths.append(name)
            return opener.components.path(name)

    counting = Counting()
    served = model.create(counting)
    for seed in range(3):
        ask(served, audio=record(speech(0.2)), steps=1, seed=seed)
    assert counting.paths == ["pipeline.json"]
    assert sorted(name for name, _ in counting.sessions) == ["unet", "vae_decoder", "vae_encoder", "wav2vec2"]


MANY = {"good.png": FACE, "small.png": portrait(1, 40, 40), "text.png": b"no picture"}
REFUSED: dict[str, tuple[dict[str, object], str, str]] = {
    "no face": ({"face": None}, "face", "either 'face'"),
    "both": ({"faces": archive({"a.png": FACE})}, "face", "either 'face'"),
    "no archive": ({"face": None, "faces": b"PK"}, "faces", "cannot be read as a zip archive"),
    "an empty archive": ({"face": None, "faces": archive({})}, "faces", "has no files"),
    "two bad faces of three": (
        {"face": None, "faces": archive(MANY)},
        "faces",
        "^small: the face is 40x40.*; text: the file is damaged, or of an unsupported kind",
    ),
    "a small face": ({"face": portrait(1, 63, 200)}, "face", "200x63"),
    "no picture": ({"face": VOICE}, "face", "of an unsupported kind"),
    "silence": ({"audio": record(np.zeros(16_000))}, "audio", "silent"),
    "no sound": ({"audio": film(range(9))}, "audio", "no sound"),
    "damage": ({"audio": VOICE[:3000]}, "audio", "cut off"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_the_clients_to_correct(served: model.HeyGem, name: str) -> None:
    changes, field, words = REFUSED[name]
    with pytest.raises(BadRequest, match=words) as caught:
        ask(served, **changes)
    assert (caught.value.field, caught.value.status) == (field, 422)


def test_an_abandoned_request_stops_at_every_point(served: model.HeyGem) -> None:
    """While a file is decoded, before a face's batch, then before each of two steps for each of two batches of frames."""
    form = {"audio": record(speech(0.2)), "face": FACE, "steps": 2, "seed": 1, "output": "mp4"}

    class Countdown:
        def __init__(self, left: int) -> None:
            self.left = left

        def __call__(self) -> bool:
            if "/decoding/" not in sys._getframe(1).f_code.co_filename:  # not the wait for a decoder
                self.left -= 1
            return self.left <= 0

    for count in range(6):
        with pytest.raises(Cancelled):
            served.generate(form, Countdown(count))
    assert served.generate(form, Countdown(6)).media_type == "video/mp4"


def test_progress_is_told(served: model.HeyGem) -> None:
    told: list[tuple[int, int]] = []

    class Listening:
        def __call__(self) -> bool:
            return False

        def report(self, step: int, steps: int, message: str = "") -> None:
            told.append((step, steps))

    faces = archive({"a.png": FACE, "b.png": portrait(2)})
    form = {"audio": record(speech(0.2)), "faces": faces, "steps": 1, "seed": 1, "output": "frames"}
    served.generate(form, Listening())
    assert told == [(4, 10), (5, 10), (9, 10), (10, 10)]
