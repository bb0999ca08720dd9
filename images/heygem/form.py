"""The fields of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from entrypoints.contract import BadRequest, Field
from images.heygem.media.sizes import AUDIO, FACE, FACES, MOST_FACES

FIELDS = (
    Field(AUDIO, "file", "The voice: wav, mp3, flac, ogg, m4a or webm, 0.2 to 60 seconds.", required=True),
    Field(FACE, "file", "The face: jpg, png or webp, or a video, which is repeated to the voice's length."),
    Field(FACES, "file", f"Instead of a face: a zip of up to {MOST_FACES}, for a zip of answers."),
    Field("steps", "integer", "Denoising steps: more take longer.", default=4, minimum=1, maximum=50),
    Field("seed", "integer", "The same seed gives the same video.", default=1, minimum=0, maximum=2**32 - 1),
    Field("output", "choice", "A video, or each frame's mean colours.", default="mp4", choices=("mp4", "frames")),
)


class Request(NamedTuple):
    """A form by its fields. ``faces`` is a picture or a film; if it is a ``batch``, an archive of them."""

    audio: bytes
    faces: bytes
    batch: bool
    steps: int
    seed: int
    output: str

    @property
    def face_field(self) -> str:
        return FACES if self.batch else FACE


def read_request(form: Mapping[str, object]) -> Request:
    """Raises BadRequest unless there is exactly one of ``face`` and ``faces``."""
    rest = dict(form)
    face, many = rest.pop(FACE, None), rest.pop(FACES, None)
    if (face is None) == (many is None):
        raise BadRequest("send either 'face', a picture or a video, or 'faces', a zip of them", field=FACE)
    return Request(faces=face if many is None else many, batch=many is not None, **rest)  # type: ignore[arg-type]
