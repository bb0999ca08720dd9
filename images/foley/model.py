"""HunyuanVideo-Foley in the container: a video and a sentence to 48 kHz sound."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from entrypoints.contract import Answer, Cancellation, Cancelled, Components, DecodeLimits, Field, decode_apart
from images.foley.media.frames import latent_length, window_bounds
from images.foley.media.pixels import Views, image_values, sync_values
from images.foley.media.sound import WAV, write_wav
from images.foley.sampler import Latents, denoise, guide, make_noise
from images.foley.text import TextReader

T = TypeVar("T")

DECODING = "images.foley.decoding"
"""The module that imports libav and Pillow: this process does not."""
READING = DecodeLimits(120, 1536 << 20, "video")
"""The largest frames have 9.4 million pixels: 28 MB each with 10 bits a color, of which a decoder holds up to 20, and 0.3 GB
while one is scaled; the scaled frames of 15 s have 160 MB. 3600 frames take 60 s on two processors."""
WRITING = DecodeLimits(60, 384 << 20, "video")
"""Packets are copied: the file is there three times."""
CHANNELS = 128
"""Channels of the latent."""
IMAGES_AT_ONCE = 2
WINDOWS_AT_ONCE = 1
"""Small, since the encoders' intermediate results take memory, and larger batches are not faster on a CPU."""

FIELDS = (
    Field("video", "file", "The clip to make sound for: mp4, mov, webm or mkv, 1 to 15 seconds.", required=True),
    Field(
        "prompt",
        "text",
        "What is heard, in English: best a verb and a material, as in scraping metal.",
        required=True,
        maximum=2000,
    ),
    Field("negative_prompt", "text", "What should not be heard.", default="noisy, harsh", maximum=2000),
    Field("steps", "integer", "Denoising steps: more take longer.", default=50, minimum=1, maximum=100),
    Field("guidance", "number", "How closely to follow; 1: off, twice as fast.", default=4.5, minimum=1, maximum=20),
    Field("seed", "integer", "The same seed gives the same sound.", default=1, minimum=0, maximum=2**32 - 1),
    Field("output", "choice", "The sound alone, or the clip with it.", default="wav", choices=("wav", "video")),
    Field("trim", "choice", "Use the first 15 s of a longer clip.", default="no", choices=("no", "yes")),
)


class Request(NamedTuple):
    """A form by its fields."""

    video: bytes
    prompt: str
    negative_prompt: str
    steps: int
    guidance: float
    seed: int
    output: str
    trim: str


class Features(NamedTuple):
    """The transformer's conditions, for the unconditional and the conditional pass."""

    text: NDArray[np.float32]
    """``[2, tokens, 768]``, the negative text first."""
    visual: NDArray[np.float32]
    """``[1, images, 768]``."""
    sync: NDArray[np.float32]
    """``[1, windows, 8, 768]``."""


class Foley:
    """Sessions are requested when they are needed, since the server may still open them while the model is created."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._texts = TextReader(components.path("clap/tokenizer.json"))

    @property
    def fields(self) -> Sequence[Field]:
        return FIELDS

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        """Sound for ``form['video']``. Raises BadRequest for a video or text that cannot be used, Cancelled."""
        request = Request(**form)  # type: ignore[arg-type]
        tokens = self._texts.read(request.negative_prompt, request.prompt)
        views = read_video(request.video, trim=request.trim == "yes", cancelled=cancelled)
        text = self._run("clap", input_ids=tokens.ids, attention_mask=tokens.mask)
        features = Features(text, *self._see(views, cancelled))
        noise = make_noise(CHANNELS, latent_length(len(views.sync)), request.seed)
        latents = denoise(noise, request.steps, self._velocity(features, request.guidance), cancelled)
        samples = self._run("dac", latents=latents).reshape(-1)
        if request.output == "wav":
            return Answer(write_wav(samples), WAV)
        return Answer(*add_sound(request.video, samples, cancelled))

    def _run(self, component: str, **inputs: NDArray[np.generic]) -> NDArray[np.float32]:
        """The only output of a component's graph."""
        (output,) = self._components.session(component).run(inputs).values()
        return output

    def _see(self, views: Views, cancelled: Cancellation) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        def see_images(some: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            return self._run("siglip2", pixels=image_values(some))

        def see_windows(some: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
            windows = [sync_values(views.sync[first:end]).swapaxes(0, 1) for first, end in some]
            return self._run("synchformer", windows=np.stack(windows))

        visual = in_batches(views.image, IMAGES_AT_ONCE, see_images, cancelled)
        sync = in_batches(window_bounds(len(views.sync)), WINDOWS_AT_ONCE, see_windows, cancelled)
        return visual[None], sync[None]

    def _velocity(self, features: Features, guidance: float) -> Callable[[Latents, np.float32], Latents]:
        """The transformer with all inputs set except latent and time; two rows a pass if there is guidance."""
        conditional = np.array([False, True] if guidance > 1 else [True])
        rows = len(conditional)
        given: dict[str, NDArray[np.generic]] = {
            "conditional": conditional,
            "text": features.text[-rows:],
            "visual": np.repeat(features.visual, rows, axis=0),
            "sync": np.repeat(features.sync, rows, axis=0),
        }

        def velocity(latents: Latents, time: np.float32) -> Latents:
            batch = np.repeat(latents, rows, axis=0)
            out = self._run("transformer", latents=batch, timestep=np.full(rows, time, np.float32), **given)
            return guide(out, guidance) if rows == 2 else out

        return velocity


def read_video(data: bytes, *, trim: bool, cancelled: Cancellation) -> Views:
    """Raises BadRequest for a video that cannot be used, Cancelled."""
    return Views(*decode_apart(f"{DECODING}:decode_video", data, trim, limits=READING, cancelled=cancelled))


def add_sound(data: bytes, samples: NDArray[np.float32], cancelled: Cancellation) -> tuple[bytes, str]:
    """The video with its sound, and its media type. Raises BadRequest, Cancelled."""
    body, media_type = decode_apart(f"{DECODING}:write_video", data, samples, limits=WRITING, cancelled=cancelled)
    return body, media_type


def in_batches(
    items: Sequence[T], size: int, run: Callable[[Sequence[T]], NDArray[np.float32]], cancelled: Cancellation
) -> NDArray[np.float32]:
    """Call ``run`` on ``size`` items at a time and join the results. Raises Cancelled between two batches."""
    parts = []
    for start in range(0, len(items), size):
        if cancelled():
            raise Cancelled
        parts.append(run(items[start : start + size]))
    return np.concatenate(parts)


def create(components: Components) -> Foley:
    """The model over the components ``clap``, ``siglip2``, ``synchformer``, ``transformer`` and ``dac``."""
    # numpy imports its generators on first use: 10 ms that a request need not wait for while graphs open or compute.
    threading.Thread(target=importlib.import_module, args=("numpy.random",), daemon=True).start()
    return Foley(components)
