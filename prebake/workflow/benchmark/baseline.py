"""The baseline of a gate: a tag of the Engine, an image at a registry, or a git revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from prebake.docker.connection import Connection
from prebake.docker.images.images import has_image, inspect_image
from prebake.docker.images.tags import tag_image
from prebake.errors import Interrupted, PrebakeError
from prebake.io.log import Log
from prebake.measure.answers import measure_distance
from prebake.measure.gate.errors import BaselineUnusable
from prebake.measure.ports import ImageFiles
from prebake.measure.warmup_request import WarmupRequest, read_warmups
from prebake.oci.errors import ReferenceInvalid
from prebake.oci.reference import DEFAULT_HOST, Reference, parse_reference
from prebake.workflow.benchmark.baseline_tags import BASELINES
from prebake.workflow.benchmark.registry_image import pull_image
from prebake.workflow.benchmark.revision import build_revision, find_revision, image_tag, is_ref
from prebake.workflow.requests import BuildRequest

Kind = Literal["tag", "registry", "revision"]


@dataclass(frozen=True)
class Baseline:
    """``given`` is the text after ``--baseline``; ``image`` the Engine's tag. ``revision`` is the commit of a git revision,
    ``digest`` that of an image at a registry."""

    given: str
    kind: Kind
    image: str
    revision: str | None = None
    digest: str | None = None


def get_baseline(connection: Connection, given: str, request: BuildRequest, log: Log) -> Baseline:
    """Find the baseline, and bring it into the Engine.

    A name with a registry's host (``docker.io/…`` for Docker Hub) is an image at that registry, and pulled from there, unless it
    is without a tag and a digest the name of a git branch or tag, such as ``v1.2/x``. Another name is one of the Engine's images,
    else a git revision of the project. Raises BaselineUnusable.
    """
    reference = _registry_reference(given)
    if reference is not None and not {":", "@"} & set(given) and is_ref(request.root, given):
        log(f"baseline: {given} is a branch or tag of git here; {given}:latest would be an image at {reference.host}")
        reference = None
    try:
        if reference is not None:
            tag, digest = pull_image(connection, reference, BASELINES, log)
            return Baseline(given, "registry", tag, digest=digest)
        if has_image(connection, given):
            return Baseline(given, "tag", _pin(connection, given))
        if revision := find_revision(request.root, given):
            tag = f"{BASELINES}:{image_tag(revision, request)}"
            if has_image(connection, tag):
                log(f"baseline: the Engine has the image of revision {revision.commit[:12]} as {tag}")
            else:
                build_revision(revision, request, tag, log)
            return Baseline(given, "revision", tag, revision=revision.commit)
    except (BaselineUnusable, Interrupted):
        raise
    except PrebakeError as error:
        raise BaselineUnusable(
            f"The baseline {given} cannot be pulled: {error.message}", next_action=error.next_action
        ) from error
    raise BaselineUnusable(
        f"There is no baseline {given}: the Engine has no such image, and git no such revision.",
        next_action="give a tag of `docker images`, HOST/PATH:TAG or HOST/PATH@sha256:… at a registry, or a branch, tag or "
        "commit; a shallow clone may lack it: `git fetch --depth=1 origin BRANCH`, then `--baseline FETCH_HEAD`",
    )


def _pin(connection: Connection, name: str) -> str:
    """A tag of the baseline alone. The build that follows may move ``name`` to the new image, which would then be compared with
    itself."""
    tag = f"{BASELINES}:local-{inspect_image(connection, name).digest.removeprefix('sha256:')[:32]}"
    tag_image(connection, name, tag)
    return tag


def read_baseline_warmups(files: ImageFiles, baseline: Baseline) -> Mapping[str, WarmupRequest]:
    """Raises BaselineUnusable if it is not an image of Prebake."""
    try:
        return read_warmups(files, baseline.image)
    except (PrebakeError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.message if isinstance(error, PrebakeError) else f"{type(error).__name__}: {error}"
        raise BaselineUnusable(
            f"The baseline {baseline.given} has no warm-up request that can be read: {reason}",
            next_action="choose an image that Prebake built, with an entrypoint of this or a nearby version",
        ) from error


def require_comparable(
    baseline: Baseline, ours: Mapping[str, WarmupRequest], theirs: Mapping[str, WarmupRequest], *, other_answers: bool
) -> None:
    """Raises BaselineUnusable with every reason for which the two first answers are not of the same work: other models, another
    warm-up request, or another answer, unless ``other_answers`` allows the last two."""
    if set(ours) != set(theirs):
        raise BaselineUnusable(
            f"The baseline {baseline.given} has another model: {', '.join(sorted(theirs))}, not {', '.join(sorted(ours))}.",
            next_action="choose a baseline of the same model",
        )
    reasons = [reason for name in ours for reason in _differences(name, ours[name], theirs[name])]
    if reasons and not other_answers:
        raise BaselineUnusable(
            "\n".join(
                [f"The baseline {baseline.given} does other work at its start:", *(f"  {each}" for each in reasons)]
            ),
            next_action="compare with a baseline that has the same warm-up request and answer, or pass --allow-other-answers if "
            "the change is meant",
        )


def _differences(name: str, ours: WarmupRequest, theirs: WarmupRequest) -> list[str]:
    if ours.request.fields != theirs.request.fields:
        fields = sorted(
            field
            for field in {*ours.request.fields, *theirs.request.fields}
            if ours.request.fields.get(field) != theirs.request.fields.get(field)
        )
        return [f"{name}: another warm-up request (fields {', '.join(fields)})"]
    if ours.media_type != theirs.media_type:
        return [f"{name}: its answer is {theirs.media_type}, not {ours.media_type}"]
    apart, allowed = (
        measure_distance(ours.answer, theirs.answer, ours.media_type),
        max(ours.tolerance, theirs.tolerance),
    )
    if apart > allowed:
        return [f"{name}: another answer to the same request (by {apart:.3g}; {allowed:.3g} is allowed)"]
    return []


def _registry_reference(given: str) -> Reference | None:
    """None if the text names no registry's host: it may be a tag of the Engine or a branch such as ``feature/x``."""
    try:
        reference = parse_reference(given)
    except ReferenceInvalid:
        return None
    named = given.startswith((f"{DEFAULT_HOST}/", f"index.{DEFAULT_HOST}/"))
    return reference if named or reference.host != DEFAULT_HOST else None
