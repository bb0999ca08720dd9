"""The fields of a request, and a request as a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from entrypoints.contract import BadRequest, Field

MAX_CHARACTERS = 5000
SMALLEST, LARGEST = 64, 2048
"""Pixels of a side."""
MOST = 1024 * 1024
"""Pixels of an image. The decoder's attention over all of it takes 4 * (pixels / 64) ** 2 bytes: 1 GiB here, 16 for four times as
many."""

FIELDS = (
    Field(
        "prompt",
        "text",
        "What the image shows, in English or Chinese; 512 tokens at most, with the chat template's own.",
        required=True,
        maximum=MAX_CHARACTERS,
    ),
    Field("width", "integer", "Pixels, a multiple of 16.", default=512, minimum=SMALLEST, maximum=LARGEST),
    Field("height", "integer", "Pixels, a multiple of 16.", default=512, minimum=SMALLEST, maximum=LARGEST),
    Field("steps", "integer", "Denoising steps: more take longer.", default=9, minimum=1, maximum=100),
    Field(
        "seed",
        "integer",
        "The same seed gives the same image, and the one that diffusers gives on a CPU.",
        default=1,
        minimum=0,
        maximum=2**32 - 1,
    ),
    Field(
        "count", "integer", "Images, the first of this seed, the next of seed + 1, …", default=1, minimum=1, maximum=8
    ),
    Field(
        "output",
        "choice",
        "png: the image, or a zip of 0.png, 1.png, … where count is more than 1. For comparing, as JSON: pixels: means "
        "of red, green and blue over blocks of 8 x 8, from 0 to 1; latents: what the decoder was given.",
        default="png",
        choices=("png", "pixels", "latents"),
    ),
)


class Request(NamedTuple):
    """A form by its fields."""

    prompt: str
    width: int
    height: int
    steps: int
    seed: int
    images: int
    output: str

    def seeds(self) -> list[int]:
        """One seed for each image; above torch's largest seed they begin again at 0."""
        return [(self.seed + number) % 2**32 for number in range(self.images)]


def from_form(form: Mapping[str, object]) -> Request:
    """A form that has every field. Its ``count`` has another name here, where it would hide a tuple's own."""
    given = dict(form)
    return Request(images=given.pop("count"), **given)  # type: ignore[arg-type]


def read_request(form: Mapping[str, object], multiple: int) -> Request:
    """The request, its sides multiples of ``multiple`` pixels. Raises BadRequest that names the nearest sizes."""
    request = from_form(form)
    sides = {"width": request.width, "height": request.height}
    wrong = {name: side for name, side in sides.items() if side % multiple}
    if wrong:
        message = "; ".join(
            f"{name} {side}: the nearest are {_nearest(side, multiple)}" for name, side in wrong.items()
        )
        raise BadRequest(f"Sides should be multiples of {multiple} pixels. {message}.", field=next(iter(wrong)))
    if request.width * request.height > MOST:
        pixels = f"{request.width} x {request.height} are {request.width * request.height} pixels"
        raise BadRequest(f"{pixels}; send {MOST} at most: 1024 x 1024, or longer and narrower.", field="width")
    return request


def _nearest(side: int, multiple: int) -> str:
    below = side // multiple * multiple
    return f"{below} and {below + multiple}"
