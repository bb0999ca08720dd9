"""A Kubernetes Deployment and Service for a built image.

The objects are data that a YAML library writes, so a title or a name cannot break the YAML.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from prebake.plan.image_config import GRPC_PORT, HTTP_PORT
from prebake.render.quantities import resources_of
from prebake.spec.image.image import ImageSpec, Target

START_FACTOR = 10
"""The start budget is this many times the measured start: a node may be that much slower or busier."""
SHORTEST_BUDGET = 60
DISK_BYTES = 50_000_000
"""Bytes a second of a slow disk: a container reads the weights from it once before it is ready."""
LONGEST_DRAIN = 120
PRE_STOP = 5
MARGIN = 5
"""Seconds that the server has to exit after its grace period."""
USER = 65532
GRPC_SERVICE_PORT = {"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"}
"""HTTP/2 without TLS, as proxies have to know."""


@dataclass(frozen=True)
class Deployment:
    """What to deploy. ``image`` is a reference by digest. ``weights`` is the reference of an image volume with /models, if
    the image does not hold it. ``ready_seconds`` is the measured start, if there is one; ``weight_bytes`` the size of
    /models."""

    image: str
    target: Target
    ready_seconds: float | None = None
    replicas: int = 1
    weights: str | None = None
    weight_bytes: int = 0

    @property
    def start_budget(self) -> int:
        """Seconds that a start may take: a multiple of the measured one, and the time to read the weights from a slow disk."""
        measured = math.ceil((self.ready_seconds or 0.0) * START_FACTOR)
        return max(SHORTEST_BUDGET, measured) + math.ceil(self.weight_bytes / DISK_BYTES)


def render_deployment(spec: ImageSpec, deployment: Deployment, members: Sequence[ImageSpec] = ()) -> str:
    """The YAML of both objects; ``members`` are the models of an image of several."""
    objects = [_deployment(spec, deployment, members), _service(spec)]
    text = yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True, width=120)
    return f"{_HEADER.format(name=spec.name)}{text}"


_HEADER = f"""\
# Written by `prebake deploy {{name}}` from image.yaml and the report of the build that was pushed.
# startupProbe: the container is ready after one real inference gave the reference answer. The budget is {START_FACTOR} times
# the measured start ({SHORTEST_BUDGET} s at least), plus the time in which a disk of {DISK_BYTES // 10**6} MB/s reads all
# weights.
# terminationGracePeriodSeconds: the preStop sleep (endpoints are withdrawn meanwhile), plus PREBAKE_GRACE_PERIOD,
# plus {MARGIN} s.
"""


def _deployment(spec: ImageSpec, deployment: Deployment, members: Sequence[ImageSpec]) -> dict[str, Any]:
    drain = min(LONGEST_DRAIN, max(model.limits.seconds for model in members or (spec,)))
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": PRE_STOP + drain + MARGIN,
        "securityContext": {
            "runAsNonRoot": True,
            **dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), USER),
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, deployment, members, drain)],
        "volumes": _volumes(deployment),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(spec),
        "spec": {
            "replicas": deployment.replicas,
            "selector": {"matchLabels": _selector(spec)},
            "template": {"metadata": {"labels": _labels(spec)}, "spec": pod},
        },
    }


def _container(spec: ImageSpec, deployment: Deployment, members: Sequence[ImageSpec], drain: int) -> dict[str, Any]:
    resources = resources_of(spec, members)
    gpu = {} if deployment.target == "cpu" else {"nvidia.com/gpu": 1}
    return {
        "name": "model",
        "image": deployment.image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT},
            *([{"name": "grpc", "containerPort": GRPC_PORT}] if spec.serving.grpc else []),
        ],
        "env": [
            {"name": "PREBAKE_GRACE_PERIOD", "value": str(drain)},
            {"name": "PREBAKE_IMAGE_DIGEST", "value": deployment.image.partition("@")[2]},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": {**_get("ready"), "periodSeconds": 1, "failureThreshold": deployment.start_budget},
        "readinessProbe": {**_get("ready"), "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**_get("live"), "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP}}},
        "resources": {
            "requests": {"cpu": resources.cpu, "memory": resources.memory},
            "limits": {"memory": resources.memory, **gpu},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - inside the container
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
            *(
                [{"name": "weights", "mountPath": "/models", "subPath": "models", "readOnly": True}]
                if deployment.weights
                else []
            ),
        ],
    }


def _volumes(deployment: Deployment) -> list[dict[str, Any]]:
    """An image volume (the ImageVolume feature; subPath from Kubernetes 1.33 on) is pulled and cached as images are."""
    image = {"reference": deployment.weights, "pullPolicy": "IfNotPresent"}
    return [
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}},
        *([{"name": "weights", "image": image}] if deployment.weights else []),
    ]


def _service(spec: ImageSpec) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(spec),
        "spec": {
            "selector": _selector(spec),
            "ports": [
                {"name": "http", "port": 80, "targetPort": "http"},
                *([GRPC_SERVICE_PORT] if spec.serving.grpc else []),
            ],
        },
    }


def _metadata(spec: ImageSpec) -> dict[str, Any]:
    return {
        "name": _dns_name(spec),
        "labels": _labels(spec),
        "annotations": {"kubernetes.io/description": spec.title},
    }


def _labels(spec: ImageSpec) -> dict[str, str]:
    return {**_selector(spec), "app.kubernetes.io/managed-by": "prebake"}


def _selector(spec: ImageSpec) -> dict[str, str]:
    """A Deployment's selector cannot be changed once it exists."""
    return {"app.kubernetes.io/name": _dns_name(spec)}


def _dns_name(spec: ImageSpec) -> str:
    return spec.name.replace("_", "-")


def _get(what: str) -> dict[str, Any]:
    return {"httpGet": {"path": f"/v2/health/{what}", "port": "http"}}
