"""The whole validation of a manifest, and the only function that makes the bytes of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.documents.canonical import seal
from prebake.documents.manifest.consistency import find_contradictions, find_unlisted_manifests
from prebake.documents.manifest.schema import (
    ARTIFACT,
    FILES,
    MODEL_MANIFEST,
    MULTI_MODEL_MANIFEST,
    TORCH_CACHE,
    TORCH_LIBRARIES,
)


class InvalidManifest(ValueError):
    """A stage wrote a manifest that no container could start with: a fault of Prebake, not of the user."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n  ".join(["The manifest is invalid:", *problems]))
        self.problems = problems


def seal_manifest(document: Mapping[str, Any]) -> bytes:
    """The bytes of ``manifest.json``: canonical JSON with its own sha256. Raises InvalidManifest."""
    check_manifest(document)
    return seal(document)


def check_manifest(document: Mapping[str, Any]) -> None:
    """Check the manifest of one model, or the top manifest of an image of several. Raises InvalidManifest with every problem."""
    problems: list[str] = []
    several = "models" in document
    checked = (MULTI_MODEL_MANIFEST if several else MODEL_MANIFEST)(document, "", problems)
    if not problems:
        problems += find_unlisted_manifests(checked) if several else find_contradictions(checked)
    if problems:
        raise InvalidManifest(problems)


def find_artifact_problems(entry: Mapping[str, Any]) -> list[str]:
    """Problems of one artifact's entry alone, before it is put into a manifest."""
    problems: list[str] = []
    schema = TORCH_LIBRARIES if "libraries" in entry else TORCH_CACHE if "cache" in entry else ARTIFACT
    schema(entry, "artifact", problems)
    return problems


def find_file_problems(files: Any) -> list[str]:
    """Problems of the files that an artifact describes, by path."""
    problems: list[str] = []
    FILES(files, "files", problems)
    return problems
