"""Compare the image with the baseline: ``prebake bench --baseline``. Its verdict is judged by a later step, after the reports."""

from __future__ import annotations

import os
from typing import Any

from tools.action.github.log import set_output
from tools.action.prebake_command import annotate_error, run_prebake
from tools.action.settings import Settings, read_json, read_settings

PASS_EXIT_CODE, FAIL_EXIT_CODE, UNCLEAR_EXIT_CODE = 0, 46, 69


def main() -> int:
    settings, baseline = read_settings(), os.environ.get("BASELINE", "")
    for earlier in settings.results:
        earlier.unlink(missing_ok=True)
    ended = run_prebake(settings, "bench", *settings.image_words, *limit_words(settings, baseline))
    code = annotate_error(settings, ended, accepted=(FAIL_EXIT_CODE, UNCLEAR_EXIT_CODE))
    if code not in (PASS_EXIT_CODE, FAIL_EXIT_CODE, UNCLEAR_EXIT_CODE):
        return code
    document = read_json(settings.result(".json"))
    _give(_verdict(code, document), document.get("ttfi_seconds", ""), document.get("ratio", ""))
    return 0


def limit_words(settings: Settings, baseline: str) -> list[str]:
    """The flags of ``prebake bench`` for the inputs that were given; image.yaml has the others. Without a baseline, the
    image's own limits are left: those of the inputs, else those of image.yaml."""
    compared = {"baseline": baseline, "max-regression": settings.max_regression if baseline else ""}
    given = {
        **compared,
        "max-ttfi": settings.max_ttfi,
        "max-image-size": settings.max_image_size,
        "max-pairs": settings.max_pairs,
        "state": settings.state,
        "network": settings.network,
    }
    judged = baseline or settings.max_ttfi or settings.max_image_size
    return [*([] if judged else ["--gate"]), *(f"--{name}={value}" for name, value in given.items() if value)]


def _verdict(code: int, document: dict[str, Any]) -> str:
    """The exit code's verdict. Raises RuntimeError if the document says another one: it is not of this run."""
    verdict = {PASS_EXIT_CODE: "pass", FAIL_EXIT_CODE: "fail", UNCLEAR_EXIT_CODE: "unclear"}[code]
    if document.get("verdict") != verdict:
        raise RuntimeError(
            f"prebake bench ended with {code} ({verdict}), and its document says {document.get('verdict')!r}"
        )
    return verdict if document.get("checks") else "none"


def _give(verdict: str, ttfi: object, ratio: object) -> None:
    set_output("verdict", verdict)
    set_output("ttfi", "" if ttfi is None else ttfi)
    set_output("ratio", "" if ratio is None else ratio)
