"""``prebake deploy``: Kubernetes objects for the last build, or for an image named by digest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prebake.errors import PrebakeError
from prebake.measure.report import read_report
from prebake.plan.values import Options
from prebake.render.kubernetes import Deployment, render_deployment
from prebake.spec.project import read_project


class NothingToDeploy(PrebakeError):
    """There is no build whose image could be named by digest."""

    exit_code = 44


def _named(report: Mapping[str, Any]) -> str:
    """Where the last build was pushed, by digest; else its own name, as if it were a registry's."""
    pushed = [each["name"] for name, each in report["outputs"].items() if name.startswith("registry:")]
    return str(pushed[0]) if pushed else f"{str(report['image']).rsplit(':', 1)[0]}@{report['digest']}"


def render_objects(
    root: Path, model: str, image: str | None, weights: str | None, replicas: int, options: Options
) -> str:
    """The YAML. Images are named by digest, so that what was measured is what runs."""
    project = read_project(root, model, locked=False)
    report = read_report(root / "build" / model / "report.json") or {}
    if image is None:
        if not report:
            raise NothingToDeploy(
                f"{model} was not built here, so its digest is not known.",
                next_action=f"run `python build.py --model {model}`, or name one: --image REPOSITORY@sha256:…",
            )
        image = _named(report)
        if "volume" in report:
            weights = f"{image.partition('@')[0]}@{report['volume']['digest']}"
    for name in filter(None, (image, weights)):
        if "@sha256:" not in name:
            raise NothingToDeploy(
                f"{name} is not named by digest.", next_action="name it as REPOSITORY@sha256:…: a tag may move"
            )
    ready = report.get("ready_seconds")
    members = [member.spec for member in project.members.values()]
    return render_deployment(
        project.spec, Deployment(image, options.target, ready, replicas, weights), project.templates, members
    )
