"""HeyGem in the container: a voice and a face to a talking video."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from entrypoints.contract import (
    Answer,
    BadRequest,
    Cancellation,
    Cancelled,
    Components,
    DecodeLimits,
    Field,
    decode_apart,
    decode_each_apart,
    report_progress,
)
from images.heygem.form import FIELDS, Request, read_request
from images.heygem.media.colours import JSON, write_colours
from images.heygem.media.sizes import AUDIO, FACES, SIDE
from images.heygem.media.timing import Samples, Voice, pendulum, window_indices
from images.heygem.schedule import Latents, Schedule, denoise, make_noise

T = TypeVar("T")

DECODING, MOVIE = "images.heygem.decoding", "images.heygem.media.movie"
"""Modules that import libav: the model process imports the second one, and only for an answer that is a video."""
PIPELINE = "pipeline.json"
"""A file of the export: the numbers that the host computes with."""
CHANNELS, LATENT_SIDE = 4, SIDE // 8
FRAMES_AT_ONCE = 4
"""Small, since the decoder's intermediate results take memory, and larger batches are not faster on a CPU."""

VOICE = DecodeLimits(30, 512 << 20, AUDIO)
"""60 s of sound in 64 MB take below 2 s, and four times the file's size."""
ARCHIVE = DecodeLimits(30, 384 << 20, FACES)
"""64 MB unpacked take below 1 s; they are there three times with the archive."""
FACE_SECONDS, FACE_MEMORY = 60, 1280 << 20
"""Of each face. A picture of 50 million pixels takes 0.9 GB: as decoded, as red, green and blue, and turned. A film's limit of
frames takes as many seconds as it lasts on two processors, if it is 4096 x 2304 pixels large."""


class Scene(NamedTuple):
    """The inputs of one answer."""

    windows: NDArray[np.float32]
    """The sound's features at each frame: ``[frames, tokens, features]``."""
    faces: Latents
    """``[pictures, 4, 32, 32]``."""
    steps: int
    seed: int


class Part(NamedTuple):
    """One of several answers: how many are done, how many there will be, of how many frames each."""

    done: int
    faces: int
    frames: int


class Kind(NamedTuple):
    """A format of the answer's frames and sound."""

    media_type: str
    ending: str
    write: Callable[[Iterable[NDArray[np.float32]], Samples], bytes]


def _write_movie(batches: Iterable[NDArray[np.float32]], sound: Samples) -> bytes:
    written: bytes = import_module(MOVIE).write_movie(batches, sound)
    return written


KINDS = {
    "mp4": Kind("video/mp4", "mp4", _write_movie),
    "frames": Kind(JSON, "json", lambda batches, _: write_colours(batches)),
}


class HeyGem:
    """Sessions are requested when they are needed, since the server may still open them while the model is created."""

    def __init__(self, components: Components) -> None:
        self._components = components
        document = json.loads(components.path(PIPELINE).read_bytes())
        self._window: int = document["audio_window"]
        self._schedule = Schedule(**document["schedule"])

    @property
    def fields(self) -> Sequence[Field]:
        return FIELDS

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        """A video for each face. Raises BadRequest for a voice or a face that cannot be used, Cancelled."""
        request = read_request(form)
        if request.output == "mp4":  # libav's import, while other processes and graphs compute
            threading.Thread(target=import_module, args=(MOVIE,), daemon=True).start()
        voice = read_voice(request.audio, cancelled)
        faces = self.look(request, voice.frames, cancelled)
        windows = self.listen(voice)
        kind = KINDS[request.output]
        answers: dict[str, bytes] = {}
        for name, face in faces.items():
            batches = self.draw(Scene(windows, face, request.steps, request.seed), cancelled)
            frames = _with_progress(batches, Part(len(answers), len(faces), voice.frames), cancelled)
            answers[f"{name}.{kind.ending}"] = kind.write(frames, voice.sound)
        if request.batch:
            from images.heygem.media.archive import (  # zipfile's imports, which a start need not wait for
                ZIP,
                write_archive,
            )

            return Answer(write_archive(answers), ZIP)
        return Answer(answers.popitem()[1], kind.media_type)

    def look(self, request: Request, frames: int, cancelled: Cancellation) -> dict[str, Latents]:
        """Each face's latents. Raises BadRequest with every face that cannot be used, Cancelled."""
        found: dict[str, Latents] = {}
        problems: dict[str, BadRequest] = {}
        limits = DecodeLimits(FACE_SECONDS, FACE_MEMORY, request.face_field)
        for name, data in read_faces(request, cancelled).items():
            arguments = data, frames, FRAMES_AT_ONCE, request.face_field
            pictures = decode_each_apart(f"{DECODING}:decode_face", *arguments, limits=limits, cancelled=cancelled)
            try:
                found[name] = self._encode(pictures, cancelled)
            except BadRequest as problem:
                problems[name] = problem
        if problems and request.batch:
            message = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
            raise BadRequest(message, field=request.face_field)
        if problems:
            raise problems.popitem()[1]
        return found

    def listen(self, voice: Voice) -> NDArray[np.float32]:
        """``[frames, tokens, features]``."""
        features = self._run("wav2vec2", samples=voice.heard[None])[0]
        windows: NDArray[np.float32] = features[window_indices(voice.frames, len(features), self._window)]
        return windows

    def draw(self, scene: Scene, cancelled: Cancellation) -> Iterator[NDArray[np.float32]]:
        """Pictures ``[n, 3, 256, 256]`` in 0..1, up to ``FRAMES_AT_ONCE`` at a time. Raises Cancelled between steps."""
        # The same noise for every frame: two frames differ only by sound and face.
        noise = make_noise((CHANNELS, LATENT_SIDE, LATENT_SIDE), scene.seed)
        order = pendulum(len(scene.windows), len(scene.faces))
        for frames in in_batches(range(len(scene.windows)), FRAMES_AT_ONCE):
            given = {"face": scene.faces[order[frames]], "audio": scene.windows[frames]}
            start = np.repeat(noise, len(frames), axis=0)
            latents = denoise(start, self._schedule, scene.steps, partial(self._predict, given), cancelled)
            yield self._run("vae_decoder", latents=latents)

    def _predict(self, given: Mapping[str, NDArray[np.float32]], latents: Latents, time: NDArray[np.int64]) -> Latents:
        return self._run("unet", latents=latents, timestep=time, **given)

    def _encode(self, batches: Iterator[NDArray[np.uint8]], cancelled: Cancellation) -> Latents:
        """Latents of pictures ``[n, 256, 256, 3]``."""
        parts = []
        for pictures in batches:
            if cancelled():
                raise Cancelled
            parts.append(self._run("vae_encoder", pictures=pictures))
        return np.concatenate(parts)

    def _run(self, component: str, **inputs: NDArray[np.generic]) -> NDArray[np.float32]:
        """The only output of a component's graph."""
        (output,) = self._components.session(component).run(inputs).values()
        return output


def read_voice(data: bytes, cancelled: Cancellation) -> Voice:
    """Raises BadRequest for a voice that cannot be used, Cancelled."""
    return Voice(*decode_apart(f"{DECODING}:decode_voice", data, limits=VOICE, cancelled=cancelled))


def read_faces(request: Request, cancelled: Cancellation) -> dict[str, bytes]:
    """The files of faces by the names of their answers. Raises BadRequest for an archive that cannot be used, Cancelled."""
    if not request.batch:
        return {"answer": request.faces}
    found: dict[str, bytes] = decode_apart(
        f"{DECODING}:decode_archive", request.faces, limits=ARCHIVE, cancelled=cancelled
    )
    return found


def _with_progress(
    batches: Iterable[NDArray[np.float32]], part: Part, cancelled: Cancellation
) -> Iterator[NDArray[np.float32]]:
    """``batches`` as they come, each reported by frames of all answers."""
    drawn = part.done * part.frames
    for batch in batches:
        drawn += len(batch)
        report_progress(cancelled, drawn, part.faces * part.frames)
        yield batch


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """``size`` items at a time; the last ones may be fewer."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def create(components: Components) -> HeyGem:
    """The model over the components ``wav2vec2``, ``unet``, ``vae_encoder`` and ``vae_decoder``."""
    return HeyGem(components)
