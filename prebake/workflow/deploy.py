"""``prebake deploy``: Kubernetes objects for an image that was built here and pushed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prebake.errors import PrebakeError
from prebake.measure.report import find_report, list_reports
from prebake.oci.reference import Reference, parse_reference
from prebake.plan.values import MODEL_KINDS, Options
from prebake.render.kubernetes import Deployment, render_deployment
from prebake.spec.project import Project, read_project
from prebake.workflow.reporting import REGISTRY, VOLUME
from prebake.workflow.steps import Tell


class NothingToDeploy(PrebakeError):
    """There is no report of a build of this target and checkpoint."""

    exit_code = 44


class NotPushed(PrebakeError):
    """The report of the build does not say that the image was pushed, or names another image than is asked for."""

    exit_code = 54


@dataclass(frozen=True)
class Rollout:
    """What is to be deployed. ``image`` and ``weights`` are references by tag or digest, None for what the report says."""

    root: Path
    model: str
    options: Options
    image: str | None = None
    weights: str | None = None
    replicas: int = 1


def render_objects(asked: Rollout, tell: Tell) -> str:
    """The YAML. Images are named by the digest that the build's report says was pushed, so that what was measured is what
    runs. Raises NothingToDeploy or NotPushed."""
    project = read_project(asked.root, asked.model, locked=False)
    checkpoint = asked.options.checkpoint or _default_checkpoint(project)
    newer: list[str] = []
    report = find_report(asked.root, asked.model, asked.options.target, checkpoint, newer.append)
    if report is None:
        raise _not_built(asked, checkpoint, newer)
    image, weights = _choose(asked, report, tell)
    ready = report.get("ready_seconds")
    if ready is None:
        tell("deploy: the image was not started where it was built, so the start budget follows from its bytes alone")
    held = sum(layer["size"] for layer in report["layers"] if layer["kind"] in MODEL_KINDS)
    members = [member.spec for member in project.members.values()]
    deployment = Deployment(image, asked.options.target, ready, asked.replicas, weights, held)
    return render_deployment(project.spec, deployment, members)


def _default_checkpoint(project: Project) -> str:
    """As a report has it: of an image of several models, that of each."""
    chosen = project.spec.models
    each = (f"{name}/{chosen[name].checkpoint or member.spec.checkpoint}" for name, member in project.members.items())
    return ",".join(each) or project.spec.checkpoint


def _not_built(asked: Rollout, checkpoint: str, newer: Sequence[str]) -> NothingToDeploy:
    of = f" of checkpoint {checkpoint}" if checkpoint else ""
    found = [f"{target} {name}".strip() for target, name in list_reports(asked.root, asked.model)]
    others = f" There are reports of: {', '.join(found)}." if found else ""
    return NothingToDeploy(
        f"There is no report of a build of {asked.model} for {asked.options.target}{of} in {asked.root / 'build'}.{others}"
        + "".join(f"\n  {line}" for line in newer),
        next_action=f"{_build_command(asked)} builds and pushes it; where it was built elsewhere, copy that build's "
        f"report.json to build/{asked.model}/",
    )


def _build_command(asked: Rollout) -> str:
    target = "" if asked.options.target == "cpu" else f" --target {asked.options.target}"
    checkpoint = f" --checkpoint {asked.options.checkpoint}" if asked.options.checkpoint else ""
    return f"`python build.py --model {asked.model}{target}{checkpoint} --push HOST/PATH:TAG`"


def _choose(asked: Rollout, report: Mapping[str, Any], tell: Tell) -> tuple[str, str | None]:
    """The image, and that of the weights if they are in one of their own; both by digest."""
    pushed = _pushed(report)
    if not pushed:
        places = ", ".join(report["outputs"]) or "nowhere"
        raise NotPushed(
            f"{asked.model} was built and not pushed: by the report of its last build it went to {places}.",
            next_action=f"{_build_command(asked)} pushes it (what is built is reused), then deploy again",
        )
    image = _matching("--image", asked.image, pushed, str(report["digest"]), tell)
    volume = report.get("volume")
    if volume is None and asked.weights is not None:
        raise NotPushed(
            f"--weights-image {asked.weights}: by its report the image holds its weights itself.",
            next_action="leave --weights-image out, or build with `--weights volume`",
        )
    if volume is None:
        return image, None
    beside = [Reference(each.host, each.path, (each.tag or "latest") + VOLUME) for each in pushed]
    same = image.partition("@")[0]
    beside.sort(key=lambda each: each.name != same)
    return image, _matching("--weights-image", asked.weights, beside, str(volume["digest"]), tell)


def _pushed(report: Mapping[str, Any]) -> list[Reference]:
    """Where the report says that this very image was pushed."""
    outputs = {
        name.removeprefix(REGISTRY): each["name"]
        for name, each in report["outputs"].items()
        if name.startswith(REGISTRY)
    }
    found = {**outputs, **report.get("pushed", {})}
    return [parse_reference(name) for name, digest in found.items() if digest.endswith(f"@{report['digest']}")]


def _matching(flag: str, asked: str | None, pushed: Sequence[Reference], digest: str, tell: Tell) -> str:
    """The reference by digest: the first that was pushed, or the one asked for. Raises NotPushed or ReferenceInvalid."""
    if asked is None:
        return f"{pushed[0].name}@{digest}"
    wanted = parse_reference(asked)
    places = ", ".join(f"{each} ({digest})" for each in pushed)
    if wanted.digest not in (None, digest):
        raise NotPushed(
            f"{flag} {asked} is not the image of the report, which was pushed to {places}.",
            next_action="take the one that was pushed, or build and push the one that is meant, then deploy again",
        )
    if wanted.digest is None and (wanted.name, wanted.target) not in [(each.name, each.target) for each in pushed]:
        raise NotPushed(
            f"{flag} {asked}: the report does not say that the image was pushed there. It was pushed to {places}.",
            next_action=f"leave {flag} out, name the image by that digest, or push it there with `build --push {asked}`",
        )
    if wanted.name not in [each.name for each in pushed]:
        tell(f"deploy: {wanted.name} is taken for a copy of {places}: the digest is the same")
    return f"{wanted.name}@{digest}"
