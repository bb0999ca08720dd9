"""``docker-bake.json``: rendered contexts as targets of `docker buildx bake` (its file reference, JSON form)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from prebake.plan.values import Plan

GROUP = "default"


_COMPRESSION = {"raw": "uncompressed", "zstd": "zstd", "gzip": "gzip"}
"""BuildKit's words (its README, "Image output")."""


def render_bake_file(plans: Mapping[str, Plan], compression: str = "auto") -> str:
    """One target for each plan, named after its folder; the group ``default`` has them all. ``compression`` is raw, zstd,
    gzip, or auto for BuildKit's own choice.

    Attestations are off: BuildKit puts them into an index with the time of the build, so digests would change.
    """
    document = {
        "group": {GROUP: {"targets": list(plans)}},
        "target": {folder: _target(folder, plan, compression) for folder, plan in plans.items()},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _target(folder: str, plan: Plan, compression: str) -> dict[str, object]:
    disabled: Sequence[str] = ["type=provenance,disabled=true", "type=sbom,disabled=true"]
    return {
        "context": folder,
        "dockerfile": "Dockerfile",
        "args": {"SOURCE_DATE_EPOCH": str(plan.metadata.created or 0)},
        "tags": [plan.tag],
        "attest": disabled,
        **_output(compression),
    }


def _output(compression: str) -> dict[str, object]:
    """The base's layers are compressed again too, so that an engine without zstd can read the image."""
    if compression == "auto":
        return {}
    return {"output": [f"type=image,compression={_COMPRESSION[compression]},force-compression=true"]}
