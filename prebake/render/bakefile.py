"""``docker-bake.json``: rendered contexts as targets of `docker buildx bake` (its file reference, JSON form)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from prebake.plan.values import Plan

GROUP = "default"


def render_bake_file(plans: Mapping[str, Plan]) -> str:
    """One target a plan, named by its folder beside the file; the group ``default`` has them all.

    Attestations are off: they wrap each image in an index that holds the time of the build.
    """
    document = {
        "group": {GROUP: {"targets": list(plans)}},
        "target": {folder: _target(folder, plan) for folder, plan in plans.items()},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _target(folder: str, plan: Plan) -> dict[str, object]:
    disabled: Sequence[str] = ["type=provenance,disabled=true", "type=sbom,disabled=true"]
    return {
        "context": folder,
        "dockerfile": "Dockerfile",
        "args": {"SOURCE_DATE_EPOCH": str(plan.metadata.created or 0)},
        "tags": [plan.tag],
        "attest": disabled,
    }
