"""``prebake verify``: an image at a registry compared with the project."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from prebake.documents.artifact import ARTIFACTS_FOLDER, ArtifactFile, list_artifacts
from prebake.documents.manifest.schema import SCHEMA
from prebake.documents.schema_version import describe_mismatch
from prebake.errors import Problem
from prebake.io.byte_sizes import format_bytes
from prebake.io.log import Log
from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from prebake.plan.artifact_layers import with_artifacts
from prebake.plan.layer_kinds import LayerKind
from prebake.plan.planner import make_plan
from prebake.plan.values import Plan, PlannedLayer
from prebake.spec.project import read_project
from prebake.workflow.image_comparison import compare_labels, find_differences
from prebake.workflow.layers.remote_image import (
    MODELS_MANIFEST,
    RemoteImage,
    image_differs,
    join_images,
    read_image,
)
from prebake.workflow.requests import VerifyRequest


@dataclass(frozen=True)
class Verified:
    """An image without differences. ``name`` is its reference by digest, ``weights`` that of the image of /models, if that is
    another one."""

    name: str
    plan: Plan
    image: RemoteImage
    weights: str | None = None

    def document(self) -> dict[str, Any]:
        layers = [
            {"name": name, **layer.descriptor.document(), "diff_id": layer.diff_id, "files": len(layer.members)}
            for name, layer in zip(self.image.names, self.image.layers, strict=True)
        ]
        weights = {"weights": self.weights} if self.weights else {}
        plan = {"target": self.plan.target, "checkpoint": self.plan.checkpoint}
        return {"image": self.name, **weights, **plan, "layers": layers}

    def text(self) -> str:
        names = self.image.names
        width = max(map(len, names))
        lines = [
            f"{name:<{width}}  {format_bytes(layer.descriptor.size):>9}  {len(layer.members):>5} files"
            f"  {layer.descriptor.digest}"
            for name, layer in zip(names, self.image.layers, strict=True)
        ]
        weights = [f"weights {self.weights}"] if self.weights else []
        return "\n".join([f"image {self.name}", *weights, *lines, "verified"])


def verify_image(request: VerifyRequest, log: Log) -> Verified:
    """Read the whole image, one layer at a time, and keep nothing of it.

    Raises ImageDiffers with every difference, RegistryError if there is no such image, and the errors of a Repository.
    """
    plan = make_plan(read_project(request.root, request.model), request.options)
    name, image = _read(request.reference, log)
    problems: list[Problem] = []
    weights_name = None
    if request.weights_image:
        weights_name, weights = _read(request.weights_image, log)
        problems += compare_labels(plan, weights.config.get("config") or {}, "weights' config")
        image = join_images(image, weights)
    if older := describe_mismatch(image.manifest.get("schema", SCHEMA), SCHEMA, "verify it with that version"):
        raise image_differs(name, [Problem(f"/{MODELS_MANIFEST}", older)])
    try:
        plan = (
            _with_artifact_layers(plan, image)
            if plan.members
            else with_artifacts(plan, _manifest_artifacts(plan, image))
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problems.append(Problem(f"/{MODELS_MANIFEST} artifacts", str(error)))
    problems += find_differences(plan, image)
    if problems:
        raise image_differs(f"{name} with {weights_name}" if weights_name else name, problems)
    return Verified(name, plan, image, weights_name)


def _manifest_artifacts(plan: Plan, image: RemoteImage) -> dict[str, list[ArtifactFile]]:
    return {plan.name: list_artifacts(image.manifest)}


def _with_artifact_layers(plan: Plan, image: RemoteImage) -> Plan:
    """The plan with the layers of compiled artifacts of a multi-model image. They are recognized by their names: the models'
    own manifests are not kept while layers are read. Their files are listed with all others."""
    known = {layer.name for layer in plan.layers}
    places = {member.name: f"/models/{member.place(ARTIFACTS_FOLDER)}" for member in plan.members}
    found = [
        PlannedLayer(name, LayerKind.COMPILED, (places[model],), {})
        for name in dict.fromkeys(image.names)
        if name not in known and (model := name.partition("/")[0]) in places
    ]
    graphs = [layer.kind for layer in plan.layers].index(LayerKind.GRAPHS)
    return replace(plan, layers=(*plan.layers[:graphs], *found, *plan.layers[graphs:]))


def _read(reference: str, log: Log) -> tuple[str, RemoteImage]:
    named = parse_reference(reference)
    with closing(Repository(named, log=log)) as repository:
        image = read_image(repository)
    return f"{named.name}@{image.digest}", image
