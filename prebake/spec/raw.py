"""The document of ``image.yaml`` as it was written: a field of a wrong type is passed over, being reported elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

GRAPHS = ("onnx", "torch")
"""A component's fields that name a published graph."""


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def sources(data: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    for name, checkpoint in mapping(data.get("checkpoints")).items():
        sources = mapping(checkpoint).get("sources")
        for index, source in enumerate(sources if isinstance(sources, list) else []):
            yield name, index, mapping(source)


def placed(source: Mapping[str, Any], key: str) -> list[str]:
    """The paths of a source's ``files`` or ``ship`` in the checkpoint, its ``to`` put in front."""
    folder = source.get("to")
    return [f"{folder}/{file}" if isinstance(folder, str) else file for file in texts(source.get(key))]


def precisions(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Each component's name, its settings and its precision as a mapping."""
    for component, settings in mapping(data.get("components")).items():
        said = mapping(settings).get("precision", "fp32")
        yield component, mapping(settings), {"type": said} if isinstance(said, str) else mapping(said)
