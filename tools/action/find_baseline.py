"""Choose what the image is compared with, and find out whether it exists: a first run has nothing to compare with."""

from __future__ import annotations

import subprocess
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from tools.action.github.event import Event, read_event, tag_of
from tools.action.github.log import annotate, set_output, show
from tools.action.github.revisions import find_revision, first_parent
from tools.action.prebake_command import annotate_raised
from tools.action.settings import Settings, read_settings

MISSING_EXIT_CODE = 82
"""The exit code of Prebake's BaselineUnusable."""


@dataclass(frozen=True)
class Baseline:
    """``reference`` is empty if there is none; then ``reason`` says why, in a sentence."""

    reference: str
    kind: Literal["registry", "engine", "revision", "none"]
    reason: str = ""


def main() -> int:
    settings, event = read_settings(), read_event()
    found = _given(settings) if settings.baseline else _default(settings, event)
    set_output("baseline", found.reference)
    set_output("kind", found.kind)
    set_output("reason", found.reason)
    if found.reference:
        print(f"Baseline: {found.reference} ({found.kind}).")
        return 0
    if settings.missing_baseline == "fail":
        annotate("error", found.reason, title="There is no baseline")
        return MISSING_EXIT_CODE
    show(f"No baseline: {found.reason}")  # the step Judge gives the notice: it knows what was judged
    return 0


def _given(settings: Settings) -> Baseline:
    """The input ``baseline``: a place at a registry if it has a host, else an image of the Engine, else a git revision."""
    given = settings.baseline
    if has_host(given):
        reason = _missing_at_registry(given)
        return Baseline("", "none", reason) if reason else Baseline(given, "registry")
    if _is_in_engine(given):
        return Baseline(given, "engine")
    return _revision(settings, given, f"`baseline: {given}` is neither an image of the Engine nor a git revision")


def _default(settings: Settings, event: Event) -> Baseline:
    """The registry's image of the branch that the pull request goes to, or that was pushed to before; without such an image,
    the commit itself."""
    reason = "No baseline is given, and this event has no earlier commit."
    branch = event.base_ref or event.ref_name
    if settings.repository and branch:
        reference = f"{settings.repository}:{tag_of(branch)}"
        if not (reason := _missing_at_registry(reference)):
            return Baseline(reference, "registry")
    commit = (first_parent(settings.project, event.commit) if event.pull_request else "") or event.previous_commit
    return _revision(settings, commit, reason.removesuffix(".")) if commit else Baseline("", "none", reason)


def _revision(settings: Settings, name: str, otherwise: str) -> Baseline:
    found = find_revision(settings.project, name, settings.model)
    if found.commit and not found.problem:
        return Baseline(found.commit, "revision")
    return Baseline("", "none", f"{otherwise}; {found.problem}.")


def has_host(reference: str) -> bool:
    """Whether the first part of a reference is a host, by Docker's rule."""
    first, slash, _ = reference.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


def _missing_at_registry(reference: str) -> str:
    """Why the registry does not give this image; empty if it does. Some registries answer "denied" for an image that is not
    there. Raises SystemExit if the registry cannot be asked: that is no first run."""
    from prebake.errors import PrebakeError
    from prebake.oci.errors import RegistryDenied
    from prebake.oci.reference import parse_reference
    from prebake.oci.registry.repository import Repository

    try:
        parsed = parse_reference(reference)
        with closing(Repository(parsed)) as repository:
            if repository.get_manifest(parsed.target):
                return ""
    except RegistryDenied as error:
        return f"{reference} does not exist, or this job may not read it ({error.message})."
    except PrebakeError as error:
        raise SystemExit(annotate_raised(error, title="The baseline cannot be asked for")) from error
    return f"{reference} does not exist."


def _is_in_engine(reference: str) -> bool:
    command = ["docker", "image", "inspect", "--format", "{{.Id}}", "--", reference]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
