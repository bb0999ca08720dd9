"""HunyuanVideo-Foley out of its container: real clips in, sound out, the framework's numbers; a clear no for the rest."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import struct
import threading
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from entrypoints.model.answer_comparison import read_wave
from images.foley import naive
from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import running
from prebake.measure import client
from tests.support.commands.built_images import lay_out_checkpoint
from tests.support.commands.projects import Built, wait_until
from tests.support.foley.clips import Clip, make_clip, make_sound_file
from tests.support.serving import Service

RATE = 48_000
SECONDS = {"mp4": 1.0, "webm": 1.6, "odd": 2.2}
CLIPS = {
    "mp4": Clip(),
    "webm": Clip(container="webm", codec="libvpx", times=range(0, 1600, 40), size=(128, 72), sound=True),
    "odd": Clip(container="matroska", codec="libx264", times=range(0, 2200, 50), size=(150, 98)),
}
HOURS = Clip(times=range(0, 4 * 3600 * 1000, 60_000))


@pytest.fixture(scope="module")
def clips() -> Mapping[str, bytes]:
    return {name: make_clip(clip) for name, clip in CLIPS.items()}


@pytest.fixture(scope="module")
def published(foley: Built, tmp_path_factory: pytest.TempPathFactory) -> naive.NaiveFoley:
    """The same checkpoint in torch."""
    return naive.load(lay_out_checkpoint(foley, tmp_path_factory.mktemp("checkpoint")))


def ask(service: Service, video: bytes, **fields: object) -> httpx.Response:
    given = {"prompt": "a door slams", "steps": "3", **{key: str(value) for key, value in fields.items()}}
    return service.post(files={"video": ("clip.mp4", video)}, data=given)


def refused(service: Service, video: bytes, status: int = 422, **fields: Any) -> str:
    """The words of a refusal, which names the field that is wrong."""
    response = ask(service, video, **fields)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    return f"{error['message']} {error['fields']}"


def samples(content: bytes) -> NDArray[np.float64]:
    wave = read_wave(content)
    assert (wave.rate, wave.channels) == (RATE, 1)
    return np.asarray(wave.samples)


@pytest.mark.parametrize("name", ["mp4", "webm", "odd"])
def test_a_clip_gets_a_48_khz_sound_of_its_length(
    foley_service: Service, clips: Mapping[str, bytes], name: str
) -> None:
    response = ask(foley_service, clips[name])
    assert (response.status_code, response.headers["content-type"]) == (200, "audio/wav")
    sound = samples(response.content)
    assert len(sound) / RATE == pytest.approx(SECONDS[name], abs=0.05)
    assert np.abs(sound).max() <= 1
    assert sound.std() > 1e-4


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("odd", {"prompt": "rain on a tin roof", "steps": 4, "seed": 77}),
        ("webm", {"prompt": "steps", "negative_prompt": "music", "steps": 3, "seed": 2**32 - 1, "guidance": 1}),
        ("mp4", {"prompt": "", "negative_prompt": "", "steps": 2, "guidance": 7.5}),
    ],
)
def test_it_is_the_sound_that_torch_makes(
    foley_service: Service, clips: Mapping[str, bytes], published: naive.NaiveFoley, name: str, fields: Any
) -> None:
    response = ask(foley_service, clips[name], **fields)
    assert response.status_code == 200, response.text
    wanted, _ = published.generate({"video": clips[name], **fields})
    assert np.abs(samples(response.content) - samples(wanted)).max() < 1e-3


def test_another_seed_gives_another_sound_and_the_same_the_same(
    foley_service: Service, clips: Mapping[str, bytes]
) -> None:
    one, again, other = (ask(foley_service, clips["mp4"], seed=seed).content for seed in (1, 1, 2))
    assert one == again
    assert np.abs(samples(one) - samples(other)).max() > 1e-3


@pytest.mark.parametrize(("name", "kind"), [("mp4", "video/mp4"), ("webm", "video/webm")])
def test_the_clip_comes_back_with_its_sound_when_asked(
    foley_service: Service, clips: Mapping[str, bytes], name: str, kind: str
) -> None:
    response = ask(foley_service, clips[name], output="video")
    assert (response.status_code, response.headers["content-type"]) == (200, kind)
    assert packets(response.content) == packets(clips[name])  # the pictures are copied, not encoded again
    with av.open(io.BytesIO(response.content)) as container:
        (sound,) = container.streams.audio  # in place of the one it may have had
        length = sum(frame.samples for frame in container.decode(sound)) / sound.rate
        assert sound.rate == RATE
    assert length == pytest.approx(SECONDS[name], abs=0.1)


def packets(video: bytes) -> list[bytes]:
    with av.open(io.BytesIO(video)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def write_empty_track() -> bytes:
    """A matroska file with a video stream and no frame in it."""
    body = io.BytesIO()
    with av.open(body, "w", format="matroska") as target:
        stream = target.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        target.start_encoding()
    return body.getvalue()


def claim_hours(video: bytes) -> bytes:
    """The same mp4, its header saying that it lasts 4 hours: the movie's duration and every track's (ISO/IEC 14496-12,
    8.2.2 and 8.3.2), and each sample an even share of them."""
    content = bytearray(video)
    position = content.index(b"stts") + 8
    (entries,) = struct.unpack_from(">I", content, position)
    assert entries >= 1
    for entry in range(entries):
        struct.pack_into(">I", content, position + 8 + 8 * entry, 4 * 3600 * 16000 // 25)
    return bytes(content)


@pytest.mark.parametrize(
    ("video", "words"),
    [
        (make_sound_file, "no video stream"),
        (write_empty_track, "video"),
        (lambda: make_clip(HOURS), "15 s at most"),
        (lambda: claim_hours(make_clip(Clip())), "15 s at most"),
        (lambda: b"", "empty"),
        (lambda: b"\x89PNG\r\n\x1a\n" + bytes(5000), "not a video"),
        (lambda: b"#EXTM3U\nfile:///etc/passwd\n", "not a video"),
        (lambda: make_clip(Clip())[:2000], "cut off"),
        (lambda: make_clip(Clip(times=[0])), "short"),
        (lambda: make_clip(Clip(size=(8, 8), codec="mpeg4")), "8x8"),
    ],
    ids=[
        "no video stream",
        "zero frames",
        "4 hours",
        "claims 4 hours",
        "empty",
        "picture",
        "playlist",
        "cut",
        "one frame",
        "tiny",
    ],
)
def test_what_is_no_clip_is_refused_in_words(foley_service: Service, video: Any, words: str) -> None:
    found = refused(foley_service, video())
    assert words in found
    assert "'video'" in found


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prompt": "word " * 300}, "prompt"),
        ({"prompt": "a" * 2001}, "prompt"),
        ({"negative_prompt": "word " * 300}, "negative_prompt"),
        ({"steps": 0}, "steps"),
        ({"steps": "many"}, "steps"),
        ({"guidance": "nan"}, "guidance"),
        ({"seed": -1}, "seed"),
        ({"output": "mp3"}, "output"),
        ({"promt": "a"}, "promt"),
    ],
)
def test_a_field_outside_its_limits_is_named(
    foley_service: Service, clips: Mapping[str, bytes], fields: Any, field: str
) -> None:
    assert f"'{field}'" in refused(foley_service, clips["mp4"], **fields)


def test_a_form_without_a_video_or_a_prompt(foley_service: Service, clips: Mapping[str, bytes]) -> None:
    message, fields = foley_service.refusal(422, data={"steps": "3"})
    assert {"video", "prompt"} <= set(fields)
    assert message


def test_a_body_over_the_limit(foley_service: Service) -> None:
    assert "67108864 bytes" in refused(foley_service, bytes(65 * 2**20), status=413)


def test_clients_that_hang_up_in_the_middle_stop_their_own_work_only(
    foley_service: Service, clips: Mapping[str, bytes]
) -> None:
    name = 'prebake_requests_total{path="/generate",status="499"}'
    before = foley_service.metric(name)
    request = foley_service.client.build_request(
        "POST", "/generate", files={"video": ("clip.mp4", clips["odd"])}, data={"prompt": "a", "steps": "100"}
    )
    body = request.read()
    head = "".join(f"{key}: {value}\r\n" for key, value in request.headers.items())
    with contextlib.ExitStack() as stack:
        # A client that closes in order may still wait for its answer, and is looked for after a second. The last wait longer.
        for _ in range(12):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", foley_service.port), timeout=10))
            connection.sendall(f"POST /generate HTTP/1.1\r\n{head}\r\n".encode() + body)
        wait_until(lambda: foley_service.metric("prebake_requests_in_flight") >= 8, "the requests", 30)
    wait_until(lambda: foley_service.metric("prebake_requests_in_flight") == 0, "their end", 60)
    wait_until(lambda: foley_service.metric(name) > before, "their count", 10)
    assert ask(foley_service, clips["mp4"]).status_code == 200


def test_a_termination_lets_the_request_finish_and_ends_with_0(
    engine: Connection, foley: Built, clips: Mapping[str, bytes]
) -> None:
    replies: list[client.Response] = []
    with running(engine, ContainerSpec(foley.tag, ports=[8000], tmpfs={})) as container:
        port = container.address(8000)[1]

        def metric(name: str) -> float:
            lines = [line.rpartition(" ") for line in client.get(port, "/metrics").body.decode().splitlines()]
            return next((float(value) for key, _, value in lines if key == name), 0.0)

        request = client.Request({"video": ("clip.mp4", clips["odd"]), "prompt": "a", "steps": "100"})
        asking = threading.Thread(target=lambda: replies.append(client.post(port, request)))
        container.wait_until(lambda: alive(port), 60, "liveness")
        asking.start()
        container.wait_until(lambda: metric("prebake_ready") == 1 or None, 60, "readiness")
        container.wait_until(lambda: metric("prebake_requests_in_flight") == 1 or None, 60, "the request")
        ended = container.stop(60)
        asking.join(30)
        log = container.logs()
    assert [(reply.status, reply.media_type) for reply in replies] == [(200, "audio/wav")]
    assert ended.exit_code == 0
    assert '"cut_off": 0' in log


def alive(port: int) -> bool | None:
    try:
        return client.is_live(port) or None
    except (OSError, http.client.HTTPException):
        return None


def test_pickles_stay_at_home(engine: Connection, foley: Built, foley_service: Service) -> None:
    """What was published as a pickle is served as safetensors."""
    found = foley_service.run(
        "import json, os; print(json.dumps([os.path.join(f, n) for f, _, ns in os.walk('/models') for n in ns]))"
    )
    assert not [path for path in found if Path(path).suffix in (".pth", ".pt", ".bin", ".pkl")]
    assert {f"/models/{name}/model.safetensors" for name in ("transformer", "dac", "synchformer")} <= set(found)
