"""The requests that an image carries, one for each of its models, and the framework's own answers to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from prebake.bake.join_settings import place_in
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
    return _read(files, image, _document(files, image, "manifest.json"))


def read_warmups(files: Files, image: str) -> Mapping[str, Warmup]:
    """By model; an image of one model has one, by its name."""
    top = _document(files, image, "manifest.json")
    if "models" not in top:
        return {top["name"]: _read(files, image, top)}
    return {name: _read_member(files, image, name, entry) for name, entry in top["models"].items()}


def _read_member(files: Files, image: str, name: str, entry: Mapping[str, Any]) -> Warmup:
    """The paths of a request are the model's own: they begin in the folder of its manifest, or as ``places`` says."""
    place = partial(place_in, places=entry["places"], home=entry["manifest"].rpartition("/")[0])
    manifest = _document(files, image, entry["manifest"])
    return _read(files, image, manifest, f"/v2/models/{name}/generate", place)


def _read(
    files: Files,
    image: str,
    manifest: Mapping[str, Any],
    path: str = "/generate",
    place: Callable[[str], str] = str,
) -> Warmup:
    warmup = manifest["warmup"]
    document = _document(files, image, warmup["request"])
    fields: dict[str, str | tuple[str, bytes]] = {}
    for name, value in document["fields"].items():
        if isinstance(value, dict):
            fields[name] = (value["file"].rsplit("/", 1)[-1], files.read(image, f"{MODELS}/{place(value['file'])}"))
        else:
            fields[name] = str(value)
    answer = files.read(image, f"{MODELS}/{warmup['answer']}")
    return Warmup(Request(fields, path), answer, warmup["media_type"], warmup["tolerance"])


def _document(files: Files, image: str, path: str) -> dict[str, Any]:
    return dict(json.loads(files.read(image, f"{MODELS}/{path}")))
