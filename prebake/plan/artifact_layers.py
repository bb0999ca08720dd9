"""A plan with compiled artifacts: each artifact is a layer of its own, and the manifest in the graphs' layer lists it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from prebake.documents.artifact import ARTIFACTS_FOLDER, ArtifactFile
from prebake.documents.canonical import digest_json
from prebake.plan.layer_kinds import LayerKind
from prebake.plan.runtime import runtime_of
from prebake.plan.values import Plan, PlannedLayer

FIRST_CANDIDATES = ("engine", "timing-cache")
"""Candidates that are tried before all others, in this order: they save time in every request, not only at start."""
ArtifactsByModel = Mapping[str, Sequence[ArtifactFile]]
"""By the name of the model."""


@dataclass(frozen=True)
class PlacedFile:
    """A file of an artifact, below /models of this image; ``size`` in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class ArtifactTree:
    """A folder of the build's context that becomes the layer of an artifact; its files lie at ``models/<path>`` in it."""

    folder: str
    files: Sequence[PlacedFile]


def artifact_trees(plan: Plan) -> list[ArtifactTree]:
    """The trees in the order of the layers. Each is named after its content, as ``prebake.plan.layers.weight_trees`` does."""
    placed = (files for _, _, files in _placed(plan))
    return [
        ArtifactTree(f"{ARTIFACTS_FOLDER}/{digest_json({file.path: file.sha256 for file in files})[:16]}", files)
        for files in placed
    ]


def lookup_key(plan: Plan) -> str:
    """The key of the list of artifacts of one model and target: everything in an artifact's key but the machine's facts. If
    torch serves, the choice of what torch compiles is part of it."""
    torch = {"compiled": torch_compile_mode(plan)} if runtime_of(plan.spec, plan.target) == "torch" else {}
    return digest_json({"artifacts of": {"export": plan.export_key, "target": plan.target, **torch}})


def torch_compile_mode(plan: Plan) -> str:
    """The setting ``compiled`` of image.yaml for this target; read only if torch serves."""
    return plan.spec.compiled.get(plan.target, "auto")


def compile_command(plan: Plan) -> str:
    """The command that compiles artifacts, if the plan is for a GPU, can have artifacts and has none; otherwise empty."""
    opened = any(
        runtime_of(model.spec, model.target) != "torch" or torch_compile_mode(model) != "none" for model in plan.models
    )
    wanted = plan.target != "cpu" and not plan.all_artifacts and opened
    checkpoint = "" if plan.members else f" --checkpoint {plan.checkpoint}"
    return f"prebake compile --model {plan.name} --target {plan.target}{checkpoint} --push REF" if wanted else ""


def with_artifacts(plan: Plan, found: ArtifactsByModel) -> Plan:
    """The plan, and those of its models, with these artifacts and no others."""
    if plan.members:
        members = [
            replace(member, plan=replace(member.plan, artifacts=sort_artifacts(found.get(member.name, ()))))
            for member in plan.members
        ]
        whole = replace(plan, members=tuple(members))
    else:
        whole = replace(plan, artifacts=sort_artifacts(found.get(plan.name, ())))
    return replace(whole, layers=tuple(_layers(whole)))


def sort_artifacts(artifacts: Sequence[ArtifactFile]) -> tuple[ArtifactFile, ...]:
    """The order in which a start tries artifacts: by component, engines first, then the candidate that saves most. Artifacts
    of one candidate name stay together, since only a change to another name counts as a fallback."""
    best: dict[tuple[str, str], float] = {}
    for artifact in artifacts:
        candidate = artifact.component, str(artifact.entry["name"])
        best[candidate] = max(artifact.saved, best.get(candidate, artifact.saved))

    def order(artifact: ArtifactFile) -> tuple[str, int, float, str, float, str]:
        candidate = str(artifact.entry["name"])
        place = FIRST_CANDIDATES.index(candidate) if candidate in FIRST_CANDIDATES else len(FIRST_CANDIDATES)
        return artifact.component, place, -best[artifact.component, candidate], candidate, -artifact.saved, artifact.key

    return tuple(sorted(artifacts, key=order))


def layer_files(plan: Plan, layer: PlannedLayer) -> list[PlacedFile]:
    """The files of a layer of this plan that holds an artifact."""
    return next(files for _, name, files in _placed(plan) if name == layer.name)


def layer_artifacts(plan: Plan) -> dict[str, ArtifactFile]:
    """The artifact of each layer that holds one, by the layer's name."""
    return {name: artifact for artifact, name, _ in _placed(plan)}


def _layers(plan: Plan) -> Iterator[PlannedLayer]:
    """Artifacts lie above weights and below graphs: the manifest is in the graphs' layer and changes with them."""
    placed = list(_placed(plan))
    listed = {"artifacts": digest_json([artifact.to_json().decode() for artifact, _, _ in placed])} if placed else {}
    for layer in plan.layers:
        if layer.kind is LayerKind.GRAPHS:
            yield from (_layer(artifact, name, files) for artifact, name, files in placed)
            own = {name: value for name, value in layer.inputs.items() if name != "artifacts"}
            yield replace(layer, inputs={**own, **listed})
        elif layer.kind is not LayerKind.COMPILED:
            yield layer


def _layer(artifact: ArtifactFile, name: str, files: Sequence[PlacedFile]) -> PlannedLayer:
    content = {file.path: file.sha256 for file in files}
    return PlannedLayer(
        name=name,
        kind=LayerKind.COMPILED,
        paths=tuple(f"/models/{path}" for path in content),
        inputs=content,
        size=artifact.size,
    )


def _placed(plan: Plan) -> Iterator[tuple[ArtifactFile, str, list[PlacedFile]]]:
    """Each artifact, the name of its layer and its files, in the order of the image."""
    for artifact in plan.artifacts:
        yield artifact, f"{artifact.component} {artifact.label}", _files(artifact)
    for member in plan.members:
        for artifact in member.plan.artifacts:
            files = [replace(file, path=member.place(file.path)) for file in _files(artifact)]
            yield artifact, f"{member.name}/{artifact.component} {artifact.label}", files


def _files(artifact: ArtifactFile) -> list[PlacedFile]:
    return [PlacedFile(path, str(file["sha256"]), int(file["size"])) for path, file in sorted(artifact.files.items())]
