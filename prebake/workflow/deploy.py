"""``prebake deploy``: Kubernetes objects for the last build, or for an image named by digest."""

from __future__ import annotations

from pathlib import Path

from prebake.errors import PrebakeError
from prebake.measure.report import read_report
from prebake.plan.values import Options
from prebake.render.kubernetes import Deployment, render_deployment
from prebake.spec.project import read_project


class NothingToDeploy(PrebakeError):
    """There is no build whose image could be named by digest."""

    exit_code = 44


def render_objects(root: Path, model: str, image: str | None, replicas: int, options: Options) -> str:
    """The YAML. An image is named by digest, so that what was measured is what runs."""
    project = read_project(root, model, locked=False)
    report = read_report(root / "build" / model / "report.json") or {}
    if image is None:
        if not report:
            raise NothingToDeploy(
                f"{model} was not built here, so its digest is not known.",
                next_action=f"run `python build.py --model {model}`, or name one: --image REPOSITORY@sha256:…",
            )
        image = f"{str(report['image']).rsplit(':', 1)[0]}@{report['digest']}"
    elif "@sha256:" not in image:
        raise NothingToDeploy(
            f"{image} is not named by digest.", next_action="name it as REPOSITORY@sha256:…: a tag may move"
        )
    ready = report.get("ready_seconds")
    return render_deployment(project.spec, Deployment(image, options.target, ready, replicas), project.templates)
