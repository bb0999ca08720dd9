"""Push the image that was judged: by its digest, and then under the branch's tag if this is still the branch's newest commit."""

from __future__ import annotations

import os
from contextlib import closing

from tools.action.github.api import ApiRefused, open_api
from tools.action.github.event import Event, read_event
from tools.action.github.log import add_summary, annotate, set_output, show
from tools.action.prebake_command import annotate_error, annotate_raised, run_prebake
from tools.action.settings import Settings, read_settings

OTHER_DIGEST_EXIT_CODE = 45
"""The exit code of Prebake's ImageDiffers."""


def main() -> int:
    settings, event = read_settings(), read_event()
    if not settings.push or event.is_fork:
        print("Nothing is pushed: `push` is not true, or the pull request comes from a fork.")
        return 0
    if code := push_by_digest(settings, os.environ.get("DIGEST", "")):
        return code
    digest = settings.report()["digest"]
    reference, tag = f"{settings.repository}@{digest}", tag_to_move(event)
    set_output("image", reference)
    set_output("digest", digest)
    if tag and (code := move_tag(settings.repository, digest, tag)):
        return code
    set_output("attest", "true" if os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL") else "false")
    add_summary(f"Pushed: `{reference}`" + (f", also as `{settings.repository}:{tag}`" if tag else ""))
    return 0


def push_by_digest(settings: Settings, judged: str) -> int:
    """The exit code. No tag moves here, so a wrong image never gets one."""
    words = (*settings.image_words, f"--push={settings.repository}", "--by-digest")
    if code := annotate_error(settings, run_prebake(settings, "build", *words)):
        return code
    digest = settings.report()["digest"]
    if digest == judged:
        return 0
    message = f"{digest} was pushed, and {judged} was built and compared before. No tag was moved."
    annotate("error", message, title="Another image")
    return OTHER_DIGEST_EXIT_CODE


def move_tag(repository: str, digest: str, tag: str) -> int:
    """Make the tag name the pushed image. Returns the exit code."""
    from prebake.errors import PrebakeError
    from prebake.oci.reference import parse_reference
    from prebake.oci.registry.repository import Repository
    from prebake.oci.registry.tags import tag_image

    try:
        with closing(Repository(parse_reference(f"{repository}:{tag}"), log=show, pushing=True)) as opened:
            tag_image(opened, digest, tag)
    except PrebakeError as error:
        return annotate_raised(error, title="The tag was not moved")
    return 0


def tag_to_move(event: Event) -> str:
    """The tag of a pushed branch; empty if a newer commit was pushed meanwhile, whose run moves the
    tag. A git tag does not move."""
    if not event.pushed_tag or event.ref.startswith("refs/tags/"):
        return event.pushed_tag
    try:
        head = open_api().branch_head(event.ref_name)
    except ApiRefused as error:
        annotate("warning", f"{error}. The image was pushed by its digest alone.", title="The tag was not moved")
        return ""
    if head == event.commit:
        return event.pushed_tag
    print(f"{event.ref_name} is at {head} now: the image was pushed by its digest alone.")
    return ""
