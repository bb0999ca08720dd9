"""End the check as the verdict says: red if starts got slower, and by the input ``unclear`` if the machine was too noisy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tools.action.gate import FAIL_EXIT_CODE, UNCLEAR_EXIT_CODE
from tools.action.github.log import annotate, show
from tools.action.prebake_command import path_in_workspace
from tools.action.settings import read_json, read_settings

NO_VERDICT_EXIT_CODE = 1
"""If the step before gave none: a check that judged nothing is not green."""

VERDICTS = ("pass", "fail", "unclear", "none")
INPUTS = {"ttfi": "max-ttfi", "image size": "max-image-size"}
"""The inputs of the limits that need no baseline, by the names of their checks."""


def main() -> int:
    settings, verdict = read_settings(), os.environ.get("VERDICT", "")
    document = read_json(settings.result(".json"))
    message = str(document.get("message") or "")
    if verdict in VERDICTS and (reason := os.environ.get("REASON", "")):
        annotate("notice", f"{reason} {judged_alone(document)}", title="There is no baseline yet")
    if verdict == "fail":
        file = path_in_workspace(settings, f"images/{settings.model}/image.yaml")
        annotate("error", message, title=f"{settings.model}: the gate failed", file=file, line=1)
        return FAIL_EXIT_CODE
    if verdict == "unclear":
        fails = settings.unclear == "fail"
        annotate("error" if fails else "warning", message, title=f"{settings.model}: the comparison is unclear")
        return UNCLEAR_EXIT_CODE if fails else 0
    if verdict not in VERDICTS:
        annotate("error", f"The comparison gave no verdict ({verdict!r}).", title=f"{settings.model}: not judged")
        return NO_VERDICT_EXIT_CODE
    show(f"{settings.model}: {verdict}. {message}")
    return 0


def judged_alone(document: Mapping[str, Any]) -> str:
    """A sentence for a gate without a baseline: the limits that judged the image, or that none did."""
    limits = [INPUTS.get(check["name"], check["name"]) for check in document.get("checks") or ()]
    if limits:
        return f"The start was compared with nothing. The image was judged by its own limits: {', '.join(limits)}."
    return f"The image was built and measured. Nothing was judged: neither {' nor '.join(INPUTS.values())} is set."
