"""Access to ``image.yaml`` as it was written. A value of a wrong type counts as empty: the models report it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

GRAPHS = ("onnx", "torch")
"""The keys of a component that name a published graph."""


def as_mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def as_texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def list_components(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each component's name and settings."""
    for name, settings in as_mapping(data.get("components")).items():
        yield name, as_mapping(settings)


def list_sources(data: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """Each source with its checkpoint's name and its index there."""
    for name, checkpoint in as_mapping(data.get("checkpoints")).items():
        sources = as_mapping(checkpoint).get("sources")
        for index, source in enumerate(sources if isinstance(sources, list) else []):
            yield name, index, as_mapping(source)


def checkpoint_paths(source: Mapping[str, Any], key: str) -> list[str]:
    """The paths in the checkpoint of a source's ``files`` or ``ship``, that is below its ``to``."""
    folder = source.get("to")
    return [f"{folder}/{file}" if isinstance(folder, str) else file for file in as_texts(source.get(key))]


def list_precisions(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Each component's name, its settings and its precision as a mapping."""
    for name, settings in list_components(data):
        precision = settings.get("precision", "fp32")
        yield name, settings, {"type": precision} if isinstance(precision, str) else as_mapping(precision)
