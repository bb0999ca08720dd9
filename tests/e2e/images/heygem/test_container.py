"""heygem out of its container: real requests, and the framework's own pipeline beside it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest

from images.heygem import naive
from tests.support.commands.built_images import lay_out_checkpoint
from tests.support.commands.projects import Built
from tests.support.models.heygem_recordings import (
    Watched,
    archive,
    click,
    empty_png,
    film,
    pack_header,
    portrait,
    record,
    speech,
    unpack,
    wav,
)
from tests.support.serving import Service

VOICE = record(speech(0.6, 44_100), "mp3", "libmp3lame", 44_100)
FACE = portrait(1, 300, 400)
Files = dict[str, tuple[str, bytes]]


@pytest.fixture
def service(heygem_service: Service) -> Service:
    return heygem_service


@pytest.fixture(scope="module")
def published(heygem: Built, tmp_path_factory: pytest.TempPathFactory) -> naive.NaiveHeyGem:
    return naive.load(lay_out_checkpoint(heygem, tmp_path_factory.mktemp("checkpoint")))


def ask(service: Service, audio: bytes = VOICE, **fields: Any) -> httpx.Response:
    files: Files = {"audio": ("voice", audio)}
    files |= {name: (name, value) for name, value in fields.items() if isinstance(value, bytes)}
    data = {name: str(value) for name, value in fields.items() if not isinstance(value, bytes)}
    response = service.post(files=files, data=data)
    assert response.status_code == 200, response.text
    return response


def frames_of(body: bytes) -> np.ndarray[Any, Any]:
    return np.array(json.loads(body)["frames"])


@pytest.mark.parametrize("face", [FACE, film(range(4), side=96)], ids=["picture", "film"])
def test_frames_are_the_frameworks(service: Service, published: naive.NaiveHeyGem, face: bytes) -> None:
    got = ask(service, face=face, steps=3, seed=5, output="frames")
    body, media_type = published.generate({"audio": VOICE, "face": face, "steps": 3, "seed": 5, "output": "frames"})
    assert got.headers["content-type"] == media_type
    assert frames_of(got.content).shape == frames_of(body).shape
    assert np.abs(frames_of(got.content) - frames_of(body)).max() < 1e-3


def test_a_voice_of_eight_channels(service: Service) -> None:
    channels = np.repeat(np.rint(speech(0.4) * 20_000).astype("<i2")[:, None], 8, axis=1)
    frames = frames_of(ask(service, wav(channels.tobytes(), 16_000, 8), face=FACE, steps=1, output="frames").content)
    assert len(frames) == 10


def test_an_mp4_in_step_with_its_sound(service: Service) -> None:
    response = ask(service, record(click(1.4, 0.73)), face=FACE)
    assert response.headers["content-type"] == "video/mp4"
    watched = Watched(response.content)
    assert watched.codecs == ("h264", "yuv420p", "aac")
    assert watched.pictures.shape == (35, 256, 256, 3)
    heard = watched.sound_start + np.flatnonzero(np.abs(watched.sound) > 0.2)[0] / watched.sound_rate
    change = np.abs(watched.pictures - np.median(watched.pictures, axis=0)).mean(axis=(1, 2, 3))
    seen = watched.times[int(np.flatnonzero(change > change.max() / 2)[0])]
    assert abs(heard - 0.73) < 0.04
    assert abs(int(heard * 25) - round(seen * 25)) <= 1


def test_one_voice_for_many_faces(service: Service) -> None:
    faces = {"ann.png": FACE, "bob.mp4": film(range(3), side=96)}
    response = ask(service, faces=archive(faces), steps=1, output="frames")
    assert response.headers["content-type"] == "application/zip"
    answers = unpack(response.content)
    assert set(answers) == {"ann.json", "bob.json"}
    assert answers["ann.json"] == ask(service, face=FACE, steps=1, output="frames").content
    movies = unpack(ask(service, faces=archive(faces), steps=1).content)
    assert {name: len(Watched(body).pictures) for name, body in movies.items()}.keys() == {"ann.mp4", "bob.mp4"}


@pytest.mark.parametrize(
    ("files", "data", "field", "words"),
    [
        ({"face": FACE}, {}, "audio", "audio is required"),
        ({"audio": VOICE}, {}, "face", "either 'face'"),
        ({"audio": VOICE, "face": FACE, "faces": archive({"a.png": FACE})}, {}, "face", "either 'face'"),
        ({"audio": VOICE, "faces": archive({})}, {}, "faces", "has no files"),
        ({"audio": record(np.zeros(16_000)), "face": FACE}, {}, "audio", "the file is silent"),
        ({"audio": VOICE[:300], "face": FACE}, {}, "audio", "the file is damaged"),
        ({"audio": FACE, "face": FACE}, {}, "audio", "of an unsupported kind"),
        ({"audio": VOICE, "face": portrait(1, 40, 40)}, {}, "face", "the face is 40x40"),
        ({"audio": VOICE, "face": FACE[:2000]}, {}, "face", "the png is cut off"),
        ({"audio": VOICE, "face": pack_header(film(range(3), kind="mov"))}, {}, "face", "header is compressed"),
        ({"audio": VOICE, "face": empty_png(50_000, 1_100)}, {}, "face", "over 50000000 pixels"),
        (
            {"audio": VOICE, "faces": archive({f"{n}.png": b"" for n in range(60_000)})},
            {},
            "faces",
            "60000 entries: 256",
        ),
        ({"audio": VOICE, "faces": archive({"../../etc/passwd": FACE})}, {}, "faces", "leads out of the archive"),
        ({"audio": record(np.zeros(16_000 * 600), "flac", "flac"), "face": FACE}, {}, "audio", "longer than 60 s"),
        ({"audio": VOICE, "face": FACE}, {"steps": "0"}, "steps", "should be at least 1"),
        ({"audio": VOICE, "face": FACE}, {"output": "gif"}, "output", "mp4, frames"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(
    service: Service, files: dict[str, bytes], data: dict[str, str], field: str, words: str
) -> None:
    sent: Files = {name: (name, content) for name, content in files.items()}
    message, fields = service.refusal(422, files=sent, data=data)
    assert list(fields) == [field]
    assert words in message
    assert service.is_ready()


PROCESSES = """
import json, os
def describe(process):
    status = dict(line.rstrip().split(":\\t", 1) for line in open(f"/proc/{process}/status") if ":\\t" in line)
    maps = open(f"/proc/{process}/maps").read()
    libraries = {"libav": "libavcodec" in maps, "ort": "onnxruntime" in maps}
    return {"parent": int(status["PPid"]), "state": status["State"][0], **libraries}
found = {}
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        found[name] = describe(name)
print(json.dumps(found))
"""


def test_the_decoders_have_a_process_without_the_model(service: Service) -> None:
    ask(service, face=FACE, steps=1, output="frames")
    found: dict[str, dict[str, Any]] = service.run(PROCESSES)
    assert [each["state"] for each in found.values() if each["state"] == "Z"] == []
    (model,) = (name for name, each in found.items() if each["ort"])
    (template,) = (each for each in found.values() if each["libav"] and not each["ort"])
    assert template["parent"] == int(model)
    assert len(found) == 3


def test_weights_are_layers_of_their_own_as_published(heygem: Built) -> None:
    shipped = {path: layer for layer in heygem.report["layers"] for path in layer.get("inputs", {})}
    for folder in ("wav2vec2/model", "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"):
        assert shipped[f"{folder}.safetensors"]["kind"] == "weights"
