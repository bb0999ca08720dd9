"""The fields of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from entrypoints.contract import BadRequest, Field
from images.heygem.media import archive, faces, voice

FIELDS = (
    Field(voice.FIELD, "file", "The voice: wav, mp3, flac, ogg, m4a or webm, 0.2 to 60 seconds.", required=True),
    Field(faces.FIELD, "file", "The face: jpg, png or webp, or a video, which is repeated to the voice's length."),
    Field(archive.FIELD, "file", f"Instead of a face: a zip of up to {archive.MOST_FACES}, for a zip of answers."),
    Field("steps", "integer", "Denoising steps: more take longer.", default=4, minimum=1, maximum=50),
    Field("seed", "integer", "The same seed gives the same video.", default=1, minimum=0, maximum=2**32 - 1),
    Field("output", "choice", "A video, or each frame's mean colours.", default="mp4", choices=("mp4", "frames")),
)


class Request(NamedTuple):
    """A form by its fields. ``faces`` are files by the names of their answers, a single one by the name ``answer``."""

    audio: bytes
    faces: Mapping[str, bytes]
    batch: bool
    steps: int
    seed: int
    output: str

    @property
    def face_field(self) -> str:
        return archive.FIELD if self.batch else faces.FIELD


def read_request(form: Mapping[str, object]) -> Request:
    """Raises BadRequest unless there is exactly one of ``face`` and ``faces``, or if the archive cannot be read."""
    rest = dict(form)
    face, many = rest.pop(faces.FIELD, None), rest.pop(archive.FIELD, None)
    if (face is None) == (many is None):
        raise BadRequest("send either 'face', a picture or a video, or 'faces', a zip of them", field=faces.FIELD)
    found = {"answer": face} if many is None else archive.read_archive(many)  # type: ignore[arg-type]
    return Request(faces=found, batch=many is not None, **rest)  # type: ignore[arg-type]
