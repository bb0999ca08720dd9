"""A plan with what was found compiled for machines: each artifact is a layer of its own, and the graphs' manifest tells it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from prebake.bake.artifact_file import FOLDER, ArtifactFile
from prebake.plan.runtime import runtime_of
from prebake.plan.values import Layer, Plan, digest

BEST = ("engine", "timing-cache")
"""Rungs that come before all others, in this order: what they save is computed by every request."""
Found = Mapping[str, Sequence[ArtifactFile]]
"""By model."""


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
    """In the order of the layers; named after their content, as ``prebake.plan.layers.weight_trees`` are."""
    placed = (files for _, _, files in _placed(plan))
    return [
        ArtifactTree(f"{FOLDER}/{digest({file.path: file.sha256 for file in files})[:16]}", files) for files in placed
    ]


def lookup_key(plan: Plan) -> str:
    """What the artifacts of one model for one target are listed under: all of their key that is no machine's, and what torch is
    to compile where it serves."""
    torch = {"compiled": compiled_of(plan)} if runtime_of(plan.spec, plan.target) == "torch" else {}
    return digest({"artifacts of": {"export": plan.export_key, "target": plan.target, **torch}})


def compiled_of(plan: Plan) -> str:
    """What image.yaml has compiled where torch serves."""
    return plan.spec.compiled.get(plan.target, "measured")


def compile_command(plan: Plan) -> str:
    """What makes artifacts for a plan that is for a GPU, may have some and has none; empty for any other."""
    opened = any(runtime_of(each.spec, each.target) != "torch" or compiled_of(each) != "none" for each in plan.models)
    wanted = plan.target != "cpu" and not plan.compiled and opened
    checkpoint = "" if plan.members else f" --checkpoint {plan.checkpoint}"
    return f"prebake compile --model {plan.name} --target {plan.target}{checkpoint} --push REF" if wanted else ""


def with_artifacts(plan: Plan, found: Found) -> Plan:
    """The plan, and those of its models, with these artifacts and no others."""
    if plan.members:
        members = [
            replace(each, plan=replace(each.plan, artifacts=in_order(found.get(each.name, ()))))
            for each in plan.members
        ]
        whole = replace(plan, members=tuple(members))
    else:
        whole = replace(plan, artifacts=in_order(found.get(plan.name, ())))
    return replace(whole, layers=tuple(_layers(whole)))


def without_artifacts(plan: Plan, keys: Collection[str]) -> Plan:
    """The plan without those that have these keys."""
    kept = {model.name: [each for each in model.artifacts if each.key not in keys] for model in plan.models}
    return with_artifacts(plan, kept)


def in_order(artifacts: Sequence[ArtifactFile]) -> tuple[ArtifactFile, ...]:
    """As a start should try them: of each component engines first, then the rung that saves most, and what is of one rung
    together, since only leaving a rung is a step down."""
    best: dict[tuple[str, str], float] = {}
    for each in artifacts:
        rung = each.component, str(each.entry["rung"])
        best[rung] = max(each.saved, best.get(rung, each.saved))

    def order(each: ArtifactFile) -> tuple[str, int, float, str, float, str]:
        rung = str(each.entry["rung"])
        place = BEST.index(rung) if rung in BEST else len(BEST)
        return each.component, place, -best[each.component, rung], rung, -each.saved, each.key

    return tuple(sorted(artifacts, key=order))


def layer_files(plan: Plan, layer: Layer) -> list[PlacedFile]:
    """The files of a layer of this plan that holds an artifact."""
    return next(files for _, name, files in _placed(plan) if name == layer.name)


def _layers(plan: Plan) -> Iterator[Layer]:
    """Compiled after weights and before graphs, as the manifest among those changes with them."""
    placed = list(_placed(plan))
    told = {"artifacts": digest([artifact.to_json().decode() for artifact, _, _ in placed])} if placed else {}
    for layer in plan.layers:
        if layer.kind == "graphs":
            yield from (_layer(artifact, name, files) for artifact, name, files in placed)
            own = {name: value for name, value in layer.inputs.items() if name != "artifacts"}
            yield replace(layer, inputs={**own, **told})
        elif layer.kind != "compiled":
            yield layer


def _layer(artifact: ArtifactFile, name: str, files: Sequence[PlacedFile]) -> Layer:
    content = {file.path: file.sha256 for file in files}
    return Layer(name, "compiled", tuple(f"/models/{path}" for path in content), content, artifact.size)


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
