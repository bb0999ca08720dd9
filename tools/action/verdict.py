"""End the check as the verdict says: red if starts got slower, and by the input ``unclear`` if the machine was too noisy."""

from __future__ import annotations

import os

from tools.action.gate import FAIL_EXIT_CODE, UNCLEAR_EXIT_CODE
from tools.action.github.log import annotate, show
from tools.action.prebake_command import path_in_workspace
from tools.action.settings import read_json, read_settings

NO_VERDICT_EXIT_CODE = 1
"""If the step before gave none: a check that judged nothing is not green."""


def main() -> int:
    settings, verdict = read_settings(), os.environ.get("VERDICT", "")
    message = str(read_json(settings.result(".json")).get("message") or "")
    if verdict == "fail":
        file = path_in_workspace(settings, f"images/{settings.model}/image.yaml")
        annotate("error", message, title=f"{settings.model}: the gate failed", file=file, line=1)
        return FAIL_EXIT_CODE
    if verdict == "unclear":
        fails = settings.unclear == "fail"
        annotate("error" if fails else "warning", message, title=f"{settings.model}: the comparison is unclear")
        return UNCLEAR_EXIT_CODE if fails else 0
    if verdict not in ("pass", "none"):
        annotate("error", f"The comparison gave no verdict ({verdict!r}).", title=f"{settings.model}: not judged")
        return NO_VERDICT_EXIT_CODE
    show(f"{settings.model}: {verdict}. {message}")
    return 0
