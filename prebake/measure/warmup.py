"""The request that an image carries, and the framework's own answer to it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from prebake.measure.client import Request
from prebake.measure.ports import Files

MODELS = "/models"


@dataclass(frozen=True)
class Warmup:
    request: Request
    answer: bytes
    media_type: str
    tolerance: float


def read_warmup(files: Files, image: str) -> Warmup:
    """Read the warm-up request and its reference answer out of an image's manifest."""
    manifest = json.loads(files.read(image, f"{MODELS}/manifest.json"))["warmup"]
    document = json.loads(files.read(image, f"{MODELS}/{manifest['request']}"))
    fields: dict[str, str | tuple[str, bytes]] = {}
    for name, value in document["fields"].items():
        if isinstance(value, dict):
            fields[name] = (value["file"].rsplit("/", 1)[-1], files.read(image, f"{MODELS}/{value['file']}"))
        else:
            fields[name] = str(value)
    return Warmup(
        Request(fields),
        files.read(image, f"{MODELS}/{manifest['answer']}"),
        manifest["media_type"],
        manifest["tolerance"],
    )
