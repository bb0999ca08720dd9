"""``prebake deploy``: Kubernetes objects for an image that a build pushed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prebake.errors import PrebakeError
from prebake.io.log import Log
from prebake.measure.report.report_files import find_report, list_reports
from prebake.oci.reference import Reference, parse_reference
from prebake.plan.layer_kinds import MODEL_KINDS
from prebake.render.kubernetes import Deployment, render_deployment
from prebake.spec.project import Project, read_project
from prebake.workflow.pipeline.build_report import REGISTRY_PREFIX, WEIGHTS_SUFFIX
from prebake.workflow.requests import DeployRequest


class NothingToDeploy(PrebakeError):
    """``deploy`` finds no report of a build of this target and checkpoint. The message lists the reports that
    exist."""

    exit_code = 44


class NotPushed(PrebakeError):
    """By the build's report the image was not pushed, or ``--image`` or ``--weights-image`` is not the image that
    was pushed. The message names both."""

    exit_code = 54


def render_objects(request: DeployRequest, log: Log) -> str:
    """The YAML. Images are named by the pushed digest of the build's report, so that the measured image is the one that runs.
    Raises NothingToDeploy or NotPushed."""
    project = read_project(request.root, request.model, locked=False)
    checkpoint = request.options.checkpoint or _default_checkpoint(project)
    unusable: list[str] = []
    report = find_report(request.root, request.model, request.options.target, checkpoint, unusable.append)
    if report is None:
        raise _not_built(request, checkpoint, unusable)
    for line in unusable:
        log(f"deploy: {line}")
    image, weights = _choose(request, report, log)
    ready = report.get("ready_seconds")
    if ready is None:
        log(
            "deploy: the build timed no start of the image, so the start budget follows from the size of its weights alone"
        )
    weight_bytes = sum(layer["size"] for layer in report["layers"] if layer["kind"] in MODEL_KINDS)
    members = [member.spec for member in project.models.values()]
    deployment = Deployment(
        image=image,
        target=request.options.target,
        ready_seconds=ready,
        replicas=request.replicas,
        weights=weights,
        weight_bytes=weight_bytes,
    )
    return render_deployment(project.spec, deployment, members)


def _default_checkpoint(project: Project) -> str:
    """The default checkpoint, as reports write it; for a multi-model image the checkpoint of each model."""
    chosen = project.spec.models
    checkpoints = (
        f"{name}/{chosen[name].checkpoint or member.spec.checkpoint}" for name, member in project.models.items()
    )
    return ",".join(checkpoints) or project.spec.checkpoint


def _not_built(request: DeployRequest, checkpoint: str, unusable: Sequence[str]) -> NothingToDeploy:
    suffix = f" of checkpoint {checkpoint}" if checkpoint else ""
    found = [f"{target} {name}".strip() for target, name in list_reports(request.root, request.model)]
    others = f" There are reports of: {', '.join(found)}." if found else ""
    return NothingToDeploy(
        f"There is no report of a build of {request.model} for {request.options.target}{suffix} in "
        f"{request.root / 'build'}.{others}" + "".join(f"\n  {line}" for line in unusable),
        next_action=f"{_build_command(request)} builds and pushes it; if it was built elsewhere, copy that build's "
        f"report.json to build/{request.model}/",
    )


def _build_command(request: DeployRequest) -> str:
    target = "" if request.options.target == "cpu" else f" --target {request.options.target}"
    checkpoint = f" --checkpoint {request.options.checkpoint}" if request.options.checkpoint else ""
    return f"`python build.py --model {request.model}{target}{checkpoint} --push HOST/PATH:TAG`"


def _choose(request: DeployRequest, report: Mapping[str, Any], log: Log) -> tuple[str, str | None]:
    """The image, and the image of /models if there is one; both by digest."""
    pushed = _pushed(report)
    if not pushed:
        places = ", ".join(report["outputs"]) or "nowhere"
        raise NotPushed(
            f"{request.model} was not pushed: according to its last report, the build delivered it to {places}.",
            next_action=f"{_build_command(request)} pushes it (finished layers are reused), then deploy again",
        )
    image = _matching("--image", request.image, pushed, str(report["digest"]), log)
    volume = report.get("volume")
    if volume is None and request.weights_image is not None:
        raise NotPushed(
            f"--weights-image {request.weights_image}: according to the report, the image contains its weights.",
            next_action="leave --weights-image out, or build with `--weights volume`",
        )
    if volume is None:
        return image, None
    volumes = [Reference(place.host, place.path, (place.tag or "latest") + WEIGHTS_SUFFIX) for place in pushed]
    repository = image.partition("@")[0]
    volumes.sort(key=lambda place: place.name != repository)
    return image, _matching("--weights-image", request.weights_image, volumes, str(volume["digest"]), log)


def _pushed(report: Mapping[str, Any]) -> list[Reference]:
    """The references that this image was pushed to, according to the report."""
    outputs = {
        name.removeprefix(REGISTRY_PREFIX): output["name"]
        for name, output in report["outputs"].items()
        if name.startswith(REGISTRY_PREFIX)
    }
    found = {**outputs, **report.get("pushed", {})}
    return [parse_reference(name) for name, digest in found.items() if digest.endswith(f"@{report['digest']}")]


def _matching(flag: str, reference: str | None, pushed: Sequence[Reference], digest: str, log: Log) -> str:
    """The given reference, or the first pushed one, by digest. Raises NotPushed or ReferenceInvalid."""
    if reference is None:
        return f"{pushed[0].name}@{digest}"
    wanted = parse_reference(reference)
    places = ", ".join(f"{place} ({digest})" for place in pushed)
    if wanted.digest not in (None, digest):
        raise NotPushed(
            f"{flag} {reference} is not the image of the last report, which was pushed to {places}.",
            next_action="give the pushed image, or build and push the other one, then deploy again",
        )
    if wanted.digest is None and (wanted.name, wanted.target) not in [(place.name, place.target) for place in pushed]:
        raise NotPushed(
            f"{flag} {reference}: according to the report, the image was not pushed there, but to {places}.",
            next_action=f"leave {flag} out, give the image by that digest, or push it there with `build --push {reference}`",
        )
    if wanted.name not in [place.name for place in pushed]:
        log(f"deploy: {wanted.name} has the same digest as {places}, so it is used as a copy of it")
    return f"{wanted.name}@{digest}"
