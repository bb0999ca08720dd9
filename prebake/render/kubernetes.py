"""A Kubernetes Deployment and Service for a built image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prebake.render.environment import render_template
from prebake.render.quantities import resources_of
from prebake.spec.image import ImageSpec, Target

START_FACTOR = 10
SHORTEST_BUDGET = 60


@dataclass(frozen=True)
class Deployment:
    """What to deploy. ``image`` is a reference by digest, ``weights`` that of an image volume with /models, where the image
    does not hold it; ``ready_seconds`` the measured start, if there is one."""

    image: str
    target: Target
    ready_seconds: float | None = None
    replicas: int = 1
    weights: str | None = None


def render_deployment(
    spec: ImageSpec, deployment: Deployment, templates: Mapping[str, str], members: Sequence[ImageSpec] = ()
) -> str:
    """The YAML of both objects; ``members`` are the models of an image of several."""
    measured = deployment.ready_seconds or 0.0
    return render_template(
        templates,
        "kubernetes/deployment.yaml.j2",
        {
            "name": spec.name,
            "title": spec.title,
            "dns_name": spec.name.replace("_", "-"),
            "image": deployment.image,
            "weights": deployment.weights,
            "replicas": deployment.replicas,
            "resources": resources_of(spec, members),
            "gpu": deployment.target != "cpu",
            "grace_seconds": min(spec.limits.seconds, 120) + 10,
            "start_factor": START_FACTOR,
            "start_budget": max(SHORTEST_BUDGET, math.ceil(measured * START_FACTOR)),
        },
    )
