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

ReadFile = Callable[[str], bytes]


@dataclass(frozen=True)
class WarmupRequest:
    request: Request
    answer: bytes
    media_type: str
    tolerance: float


def read_warmup(files: ImageFiles, image: str) -> WarmupRequest:
    """Read the warm-up request and its reference answer from an image."""
    with files.open_files(image) as read:
        return _read(read, _document(read, MODEL_MANIFEST))


def read_warmups(files: ImageFiles, image: str) -> Mapping[str, WarmupRequest]:
    """By the name of the model; an image of one model has one."""
    with files.open_files(image) as read:
        top = _document(read, MODEL_MANIFEST)
        if "models" not in top:
            return {top["name"]: _read(read, top)}
        return {name: _read_member(read, name, entry) for name, entry in top["models"].items()}


def _read_member(read: ReadFile, name: str, entry: Mapping[str, Any]) -> WarmupRequest:
    """The paths in a request are relative to the folder of the model's manifest, unless ``places`` moves them."""
    place = partial(place_in, places=entry["paths"], home=entry["manifest"].rpartition("/")[0])
    manifest = _document(read, entry["manifest"])
    return _read(read, manifest, f"/v2/models/{name}/generate", place)


def _read(
    read: ReadFile,
    manifest: Mapping[str, Any],
    path: str = "/generate",
    place: Callable[[str], str] = str,
) -> WarmupRequest:
    warmup = manifest["warmup"]
    document = _document(read, warmup["request"])
    fields: dict[str, str | tuple[str, bytes]] = {}
    for name, value in document["fields"].items():
        if isinstance(value, dict):
            fields[name] = (value["file"].rsplit("/", 1)[-1], read(f"{MODELS}/{place(value['file'])}"))
        else:
            fields[name] = str(value)
    answer = read(f"{MODELS}/{warmup['answer']}")
    return WarmupRequest(Request(fields, path), answer, warmup["media_type"], warmup["tolerance"])


def _document(read: ReadFile, path: str) -> dict[str, Any]:
    return dict(json.loads(read(f"{MODELS}/{path}")))
