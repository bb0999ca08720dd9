"""The metric with the version of Prebake, the models and the image's digest as labels."""

from __future__ import annotations

from collections.abc import Sequence

from entrypoints.server.metrics.text_format import Family, Sample
from entrypoints.server.served_model import ServedModel
from entrypoints.version import VERSION


def describe_build(models: Sequence[ServedModel], digest: str) -> Family:
    """A sample for each model whose manifest is read: a series whose labels change would be two. ``digest``: of the image, which
    cannot contain its own; empty if nobody has set it."""
    return Family(
        "prebake_build_info",
        "gauge",
        "1; the labels say which version of Prebake, model, checkpoint and image run here.",
        [
            Sample(
                1,
                {
                    "version": VERSION,
                    "model": model.label,
                    "target": manifest.target,
                    "checkpoint": manifest.checkpoint,
                    "revision": manifest.revision,
                    "digest": digest,
                },
            )
            for model in models
            if (manifest := model.timeline.manifest) is not None
        ],
    )
