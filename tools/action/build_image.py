"""Build the image: it gets its tag in the Engine only after it was started and its answer was compared."""

from __future__ import annotations

from tools.action.github.log import set_output
from tools.action.prebake_command import annotate_error, run_prebake
from tools.action.settings import read_settings


def main() -> int:
    settings = read_settings()
    code = annotate_error(settings, run_prebake(settings, "build", *settings.image_words, *settings.cache_words))
    if code == 0:
        report = settings.report()
        set_output("digest", report["digest"])
        set_output("image", report["image"])
        set_output("ttfi", report.get("ttfi_seconds", ""))
    return code
