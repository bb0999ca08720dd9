"""The warm-up requests in an image, one for each of its models, and the framework's answers to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from prebake.documents.join_settings import place_in
from prebake.documents.model_manifest import MODEL_MANIFEST
from prebake.measure.client import Request
from prebake.measure.ports import ImageFiles

MODELS = "/models"


@dataclass(frozen=True)
class WarmupRequest:
    request: Request
    answer: bytes
    media_type: str
    tolerance: float


def read_warmup(files: ImageFiles, image: str) -> WarmupRequest:
    """Read the warm-up request and its reference answer from an image."""
    return _read(files, image, _document(files, image, MODEL_MANIFEST))


def read_warmups(files: ImageFiles, image: str) -> Mapping[str, WarmupRequest]:
    """By the name of the model; an image of one model has one."""
    top = _document(files, image, MODEL_MANIFEST)
    if "models" not in top:
        return {top["name"]: _read(files, image, top)}
    return {name: _read_member(files, image, name, entry) for name, entry in top["models"].items()}


def _read_member(files: ImageFiles, image: str, name: str, entry: Mapping[str, Any]) -> WarmupRequest:
    """The paths in a request are relative to the folder of the model's manifest, unless ``places`` moves them."""
    place = partial(place_in, places=entry["paths"], home=entry["manifest"].rpartition("/")[0])
    manifest = _document(files, image, entry["manifest"])
    return _read(files, image, manifest, f"/v2/models/{name}/generate", place)


def _read(
    files: ImageFiles,
    image: str,
    manifest: Mapping[str, Any],
    path: str = "/generate",
    place: Callable[[str], str] = str,
) -> WarmupRequest:
    warmup = manifest["warmup"]
    document = _document(files, image, warmup["request"])
    fields: dict[str, str | tuple[str, bytes]] = {}
    for name, value in document["fields"].items():
        if isinstance(value, dict):
            fields[name] = (value["file"].rsplit("/", 1)[-1], files.read(image, f"{MODELS}/{place(value['file'])}"))
        else:
            fields[name] = str(value)
    answer = files.read(image, f"{MODELS}/{warmup['answer']}")
    return WarmupRequest(Request(fields, path), answer, warmup["media_type"], warmup["tolerance"])


def _document(files: ImageFiles, image: str, path: str) -> dict[str, Any]:
    return dict(json.loads(files.read(image, f"{MODELS}/{path}")))
