"""Manifests and artifact entries that pass the builder's validation, for tests that need one and change a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.documents.manifest.schema import SCHEMA

SESSION = {"optimize": "disable", "prepack": False}


def make_manifest(components: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A manifest with these components, each with the keys given and defaults for the rest. It lists every file they need."""
    whole = {name: make_component(name, **keys) for name, keys in components.items()}
    paths = [*(component["graph"] for component in whole.values()), "warmup/request.json", "warmup/answer.json"]
    return {
        "schema": SCHEMA,
        "name": "tiny",
        "target": "cpu",
        "checkpoint": "sample",
        "model": {"module": "images.tiny.model", "revision": "0" * 64},
        "components": whole,
        "files": {path: make_file() for path in paths},
        "warmup": {
            "request": "warmup/request.json",
            "answer": "warmup/answer.json",
            "media_type": "application/json",
            "tolerance": 0.001,
        },
        "limits": {"body_bytes": 1000, "queue": 1, "seconds": 30},
    }


def make_component(name: str, **keys: Any) -> dict[str, Any]:
    return {
        "graph": f"{name}/model.onnx",
        "precision": "fp32",
        "providers": ["CPUExecutionProvider"],
        "session": dict(SESSION),
        "inputs": {"x": ["float32", ["batch", 4]]},
        "outputs": {"y": ["float32", ["batch", 4]]},
        "byte_ranges": {},
        "key": "0" * 64,
        "key_inputs": {},
        **keys,
    }


def make_artifact(**keys: Any) -> dict[str, Any]:
    """The entry of an artifact for a CPU."""
    return {
        "name": "native",
        "provider": "CPUExecutionProvider",
        "provider_options": {},
        "session": dict(SESSION),
        "requires": {"processor": "x86_64"},
        "minimum": {},
        "byte_ranges": {},
        "key": "1" * 64,
        "key_inputs": {},
        **keys,
    }


def make_file(size: int = 7, sha256: str = "0" * 64, origin: str = "graph") -> dict[str, Any]:
    return {"size": size, "sha256": sha256, "origin": origin}
