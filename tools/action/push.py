"""Push the image that was judged: by its digest, and under the branch's tag if this is still the branch's newest commit."""

from __future__ import annotations

import os

from tools.action.github.api import ApiRefused, open_api
from tools.action.github.event import Event, read_event
from tools.action.github.log import add_summary, annotate, set_output
from tools.action.prebake_command import annotate_error, run_prebake
from tools.action.settings import read_settings

OTHER_DIGEST_EXIT_CODE = 45
"""The exit code of Prebake's ImageDiffers."""


def main() -> int:
    settings, event = read_settings(), read_event()
    if not settings.push or event.is_fork:
        print("Nothing is pushed: `push` is not true, or the pull request comes from a fork.")
        return 0
    tag = tag_to_move(event)
    words = [f"--push={settings.repository}:{tag}"] if tag else [f"--push={settings.repository}", "--by-digest"]
    if code := annotate_error(settings, run_prebake(settings, "build", *settings.image_words, *words)):
        return code
    digest, judged = settings.report()["digest"], os.environ.get("DIGEST", "")
    if digest != judged:
        annotate("error", f"{digest} was pushed, and {judged} was built and compared before.", title="Another image")
        return OTHER_DIGEST_EXIT_CODE
    reference = f"{settings.repository}@{digest}"
    set_output("image", reference)
    set_output("digest", digest)
    set_output("attest", "true" if os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL") else "false")
    add_summary(f"Pushed: `{reference}`" + (f", also as `{settings.repository}:{tag}`" if tag else ""))
    return 0


def tag_to_move(event: Event) -> str:
    """The tag of a pushed branch; empty if a newer commit was pushed meanwhile, whose run moves the
    tag. A git tag does not move."""
    if not event.pushed_tag or event.ref.startswith("refs/tags/"):
        return event.pushed_tag
    try:
        head = open_api().branch_head(event.ref_name)
    except ApiRefused as error:
        annotate("warning", f"{error}. The image is pushed by its digest alone.", title="The tag was not moved")
        return ""
    if head == event.commit:
        return event.pushed_tag
    print(f"{event.ref_name} is at {head} now: the image is pushed by its digest alone.")
    return ""
