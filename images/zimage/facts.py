"""What the serving code knows of the published configurations: ``pipeline.json`` of the image, written at export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

FILE = "pipeline.json"


class Facts(NamedTuple):
    """Of one checkpoint."""

    before: str
    """What the chat template puts before a prompt."""
    after: str
    tokens: int
    """The most of a prompt, the template's included."""
    channels: int
    """Of a latent."""
    pixels: int
    """That a latent's place stands for, across and down."""
    patch: int
    """Places of a latent in a token, across and down."""
    axes: tuple[int, ...]
    """Numbers of a head that turn with a token's frame, row and column."""
    theta: float
    shift: float

    @property
    def multiple(self) -> int:
        """That an image's sides have to be multiples of."""
        return self.pixels * self.patch

    def to_json(self) -> bytes:
        return (json.dumps(self._asdict(), sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_facts(path: Path) -> Facts:
    """From the file that ``to_json`` gave."""
    content = json.loads(path.read_bytes())
    return Facts(**{**content, "axes": tuple(content["axes"])})
