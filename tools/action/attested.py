"""Say whether the platform attested the pushed image. It needs rights that a job may lack, so that a refusal is no error."""

from __future__ import annotations

import os

from tools.action.github.log import add_summary, annotate


def main() -> int:
    outcome, image = os.environ.get("OUTCOME", ""), os.environ.get("IMAGE", "")
    if outcome == "success":
        add_summary(f"Attested by GitHub: `{image}`")
        return 0
    message = f"{image} was pushed, and GitHub did not attest it. The job needs `permissions: {{attestations: write}}`."
    annotate("warning", message, title="Not attested")
    return 0
