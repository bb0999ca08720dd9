"""Z-Image-Turbo in the container: a prompt to images."""

from __future__ import annotations

import importlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from entrypoints.contract import Answer, Cancellation, Cancelled, Components, Field, report_progress
from images.zimage.facts import FILE, Facts, read_facts
from images.zimage.noise import make_noise
from images.zimage.pictures import Picture, write_answer
from images.zimage.prompts import PromptReader
from images.zimage.request import FIELDS, Request, read_request
from images.zimage.sampler import Tokens, Velocity, denoise, make_sigmas
from images.zimage.sequence import Part, caption_part, image_part, rope_table, unpatchify

Floats = NDArray[np.float32]


class ZImage:
    """Sessions are requested when they are needed, since the server may still open them while the model is created."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._facts: Facts = read_facts(components.path(FILE))
        self._prompts = PromptReader(components.path("tokenizer/tokenizer.json"), self._facts)

    @property
    def fields(self) -> Sequence[Field]:
        return FIELDS

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        """Images for ``form['prompt']``. Raises BadRequest for a size or a prompt that cannot be used, Cancelled."""
        request = read_request(form, self._facts.multiple)

        def each_step(done: int) -> None:
            if cancelled():
                raise Cancelled
            report_progress(cancelled, done, request.steps * request.images)

        return write_answer(list(self.paint(request, each_step)), request.output)

    def paint(self, request: Request, each_step: Callable[[int], None]) -> Iterator[Picture]:
        """One image after the other. ``each_step`` is called with the number of finished steps of all images, from 0 on; its
        exceptions end the work. Raises BadRequest for a prompt that cannot be used."""
        tokens = self._prompts.read(request.prompt)
        each_step(0)
        caption = caption_part(self._run("text_encoder", tokens=tokens))
        sigmas, done = make_sigmas(request.steps, self._facts.shift), itertools.count(1)
        shape = self._facts.channels, request.height // self._facts.pixels, request.width // self._facts.pixels
        for seed in request.seeds():
            image = image_part(make_noise(shape, seed), self._facts.patch, caption)
            finished = denoise(image.tokens, sigmas, self._velocity(image, caption), lambda: each_step(next(done)))
            latent = unpatchify(finished, shape, self._facts.patch)
            yield Picture(latent, self._run("vae", latents=latent[None])[0])

    def _velocity(self, image: Part, caption: Part) -> Velocity:
        """The transformer with all inputs set except the image's tokens and the time."""
        given: dict[str, NDArray[np.generic]] = {
            "image_padding": image.padding,
            "image_rope": self._rope(image),
            "caption": caption.tokens,
            "caption_padding": caption.padding,
            "caption_rope": self._rope(caption),
        }

        def velocity(tokens: Tokens, time: np.float32) -> Tokens:
            return self._run("transformer", image=tokens, time=np.array([time], dtype=np.float32), **given)

        return velocity

    def _rope(self, part: Part) -> Floats:
        return rope_table(part.positions, self._facts.axes, self._facts.theta)

    def _run(self, component: str, **inputs: NDArray[np.generic]) -> Floats:
        """The only output of a component's graph."""
        (output,) = self._components.session(component).run(inputs).values()
        return output


def create(components: Components) -> ZImage:
    """The model over the components ``text_encoder``, ``transformer`` and ``vae``."""
    # numpy imports its generators on first use: 10 ms that a request need not wait for while graphs open or compute.
    threading.Thread(target=importlib.import_module, args=("numpy.random",), daemon=True).start()
    return ZImage(components)
