"""The facts of the published configurations that the serving code needs: ``pipeline.json`` of the image, written at export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

FILE = "pipeline.json"


class Facts(NamedTuple):
    """The facts of one checkpoint."""

    before: str
    """The chat template's text before a prompt."""
    after: str
    tokens: int
    """Largest number of tokens of a prompt, with those of the template."""
    channels: int
    """Channels of a latent."""
    pixels: int
    """Pixels for each place of a latent, across and down."""
    patch: int
    """Places of a latent in a token, across and down."""
    axes: tuple[int, ...]
    """Numbers of a head that turn with a token's frame, row and column."""
    theta: float
    shift: float

    @property
    def multiple(self) -> int:
        """An image's sides must be multiples of it."""
        return self.pixels * self.patch

    def to_json(self) -> bytes:
        return (json.dumps(self._asdict(), sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_facts(path: Path) -> Facts:
    """From the file that ``to_json`` wrote."""
    content = json.loads(path.read_bytes())
    return Facts(**{**content, "axes": tuple(content["axes"])})
