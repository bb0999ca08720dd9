"""``prebake verify``: an image at a registry held against the project, layer by layer; every difference at once."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from prebake.bake.artifact_file import FOLDER, ArtifactFile, artifacts_of
from prebake.errors import Problem
from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from prebake.oci.unpacked import Member
from prebake.plan.compiled import with_artifacts
from prebake.plan.container import container_config
from prebake.plan.making import make_plan
from prebake.plan.values import Layer, Options, Plan
from prebake.sizes import show_bytes
from prebake.spec.project import read_project
from prebake.workflow.found_image import BASE, COMPARED, MODELS_MANIFEST, FoundImage, claim, differ, joined, read_image
from prebake.workflow.steps import Tell

_OURS = (*COMPARED, "opt/prebake/")
_SHOWN = 3  # faulty members of a layer that are named; the others are counted
# What steers the server beside what Prebake sets; PYTHON_VERSION and its like are facts of the base image's.
_STEERING = re.compile(r"PREBAKE_|ORT_|LD_|PYTHON(?!_)")


@dataclass(frozen=True)
class Verified:
    """An image that is what the project says. ``name`` is its reference by digest, ``weights`` that of the one with
    everything under /models, where that is another."""

    name: str
    plan: Plan
    image: FoundImage
    weights: str | None = None

    def document(self) -> dict[str, Any]:
        layers = [
            {"name": name, **layer.descriptor.document(), "diff_id": layer.diff, "files": len(layer.members)}
            for name, layer in zip(self.image.names, self.image.layers, strict=True)
        ]
        weights = {"weights": self.weights} if self.weights else {}
        asked = {"target": self.plan.target, "checkpoint": self.plan.checkpoint}
        return {"image": self.name, **weights, **asked, "layers": layers}

    def text(self) -> str:
        names = self.image.names
        width = max(map(len, names))
        lines = [
            f"{name:<{width}}  {show_bytes(layer.descriptor.size):>9}  {len(layer.members):>5} files"
            f"  {layer.descriptor.digest}"
            for name, layer in zip(names, self.image.layers, strict=True)
        ]
        beside = [f"weights {self.weights}"] if self.weights else []
        return "\n".join([f"image {self.name}", *beside, *lines, "verified"])


@dataclass(frozen=True)
class Claim:
    """That ``reference`` is the image of these options, and ``weights``, where given, that of its /models."""

    root: Path
    model: str
    options: Options
    reference: str
    weights: str | None = None


def verify_image(claimed: Claim, tell: Tell) -> Verified:
    """Read the whole image, a layer at a time, and keep none of it.

    Raises ImageDiffers with every difference, RegistryError where there is no such image, and what a Repository raises.
    """
    plan = make_plan(read_project(claimed.root, claimed.model), claimed.options)
    name, image = _read(claimed.reference, tell)
    problems: list[Problem] = []
    beside = None
    if claimed.weights:
        beside, weights = _read(claimed.weights, tell)
        problems += _labels(plan, weights.config.get("config") or {}, "weights' config")
        image = joined(image, weights)
    try:
        plan = _with_joint(plan, image) if plan.members else with_artifacts(plan, _told(plan, image))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problems.append(Problem(f"/{MODELS_MANIFEST} artifacts", str(error)))
    problems += differences(plan, image)
    if problems:
        raise differ(f"{name} with {beside}" if beside else name, problems)
    return Verified(name, plan, image, beside)


def _told(plan: Plan, image: FoundImage) -> dict[str, list[ArtifactFile]]:
    return {plan.name: artifacts_of(image.manifest)}


def _with_joint(plan: Plan, image: FoundImage) -> Plan:
    """Of several models, whose own manifests are not kept while layers are read: the layers that are called after one's
    artifacts, as their files are listed with all others."""
    known = {layer.name for layer in plan.layers}
    places = {member.name: f"/models/{member.place(FOLDER)}" for member in plan.members}
    found = [
        Layer(name, "compiled", (places[model],), {})
        for name in dict.fromkeys(image.names)
        if name not in known and (model := name.partition("/")[0]) in places
    ]
    graphs = [layer.kind for layer in plan.layers].index("graphs")
    return replace(plan, layers=(*plan.layers[:graphs], *found, *plan.layers[graphs:]))


def _read(reference: str, tell: Tell) -> tuple[str, FoundImage]:
    named = parse_reference(reference)
    with closing(Repository(named, say=tell)) as repository:
        image = read_image(repository)
    return f"{named.name}@{image.digest}", image


def differences(plan: Plan, image: FoundImage) -> Iterator[Problem]:
    """Every one, claimed against found."""
    yield from image.faults
    yield from _layers(plan, image)
    yield from _settings(plan, image.config.get("config") or {})
    yield from _places(plan, image)
    yield from _files(plan, image)


def _layers(plan: Plan, image: FoundImage) -> Iterator[Problem]:
    claimed, found = image.diffs, [layer.diff for layer in image.layers]
    if len(claimed) != len(found):
        yield Problem("layers", claim(f"{len(claimed)} by the config's diff_ids", f"{len(found)} in the manifest"))
        yield from (Problem("layers", f"none has the diff_id {diff}") for diff in claimed if diff not in found)
        yield from (Problem("layers", f"no diff_id is {diff}") for diff in found if diff not in claimed)
    if len(image.history) != len(claimed):
        yield Problem("history", claim(f"{len(claimed)} layers by the config's diff_ids", f"{len(image.history)}"))
    expected = [BASE, *(layer.name for layer in plan.layers)]
    if (order := [name for name, _ in groupby(image.history)]) != expected:
        yield Problem("layers", claim(", ".join(expected), ", ".join(order) or "none"))
    for number, (name, layer) in enumerate(zip(image.names, image.layers, strict=True)):
        where = _where(number, name)
        if layer.fault:
            yield Problem(where, layer.fault)
        elif len(claimed) == len(found) and claimed[number] != layer.diff:
            yield Problem(f"{where} diff_id", claim(claimed[number], layer.diff))
        if name != BASE and layer.odd:
            more = f" and {len(layer.odd) - _SHOWN} more" if len(layer.odd) > _SHOWN else ""
            yield Problem(where, f"is not as Prebake writes layers: {', '.join(layer.odd[:_SHOWN])}{more}")


def _settings(plan: Plan, config: Mapping[str, Any]) -> Iterator[Problem]:
    """What the container runs as, with what, and what the image says of itself: the base's digest too."""
    wanted = container_config(plan)
    pairs: list[tuple[str, object, object]] = [
        ("User", wanted.user, config.get("User")),
        ("Entrypoint", list(wanted.entrypoint), config.get("Entrypoint")),
        ("Cmd", None, config.get("Cmd") or None),
        ("ExposedPorts", True, f"{wanted.port}/tcp" in (config.get("ExposedPorts") or {})),
    ]
    given: dict[str, list[str]] = defaultdict(list)
    for entry in config.get("Env") or []:
        name, _, value = str(entry).partition("=")
        given[name].append(value)
    steering = {name for name in given if _STEERING.match(name)}
    for name in sorted(steering | wanted.env.keys()):
        claimed = [wanted.env[name]] if name in wanted.env else []
        pairs.append((f"Env {name}", claimed, given.get(name, [])))
    yield from (Problem(f"config {where}", claim(a, b)) for where, a, b in pairs if a != b)
    yield from _labels(plan, config, "config")


def _labels(plan: Plan, config: Mapping[str, Any], where: str) -> Iterator[Problem]:
    labels = config.get("Labels") or {}
    for name, value in container_config(plan).labels.items():
        if labels.get(name) != value:
            yield Problem(f"{where} label {name}", claim(value, labels.get(name)))


def _places(plan: Plan, image: FoundImage) -> Iterator[Problem]:
    """A layer holds files below its own paths and no others; the base's hold none of ours."""
    own = {layer.name: layer.paths for layer in plan.layers}
    for number, (name, layer) in enumerate(zip(image.names, image.layers, strict=True)):
        for member in layer.members:
            if name == BASE:
                stray = member.path.startswith(_OURS)
            else:
                paths = own.get(name, ("/",))
                stray = not any(PurePosixPath("/", member.path).is_relative_to(path) for path in paths)
            if stray or f"{member.path}/" in _OURS:  # these are folders: a link would lead elsewhere
                yield Problem(_where(number, name), f"holds /{member.path}, which has no place in it")


def _files(plan: Plan, image: FoundImage) -> Iterator[Problem]:
    """Those below /models and /app: each once, with the bytes that lock, checkout and manifest say, and none besides."""
    placed: dict[str, list[tuple[int, Member]]] = defaultdict(list)
    for number, layer in enumerate(image.layers, 1):
        for member in layer.members:
            if member.path.startswith(COMPARED):
                placed[member.path].append((number, member))
    for path, places in placed.items():
        if len(places) > 1:
            yield Problem(f"/{path}", f"lies in the layers {', '.join(str(number) for number, _ in places)}")
    listed = dict(_listed(image.manifest))
    if not listed:
        yield Problem(f"/{MODELS_MANIFEST}", "is not there, or lists no files")
    locked = {f"models/{file.path}": (file.sha256, file.size) for file in plan.shipped}
    code = {
        file.path: (hashlib.sha256(file.data).hexdigest(), len(file.data))
        for file in plan.context
        if file.path.startswith("app/") and file.data is not None
    }
    for by, files in (("the lock", locked), ("this checkout", code), (f"/{MODELS_MANIFEST}", listed)):
        for path, (sha256, size) in sorted(files.items()):
            places = placed.get(path, [])
            if not places:
                yield Problem(f"/{path}", claim(f"{sha256} by {by}", "no such file"))
            yield from (
                Problem(f"/{path} in layer {number}", claim(f"{sha256}, {size} bytes, by {by}", _describe(member)))
                for number, member in places
                if (member.sha256, member.size) != (sha256, size)
            )
    known = {MODELS_MANIFEST, *locked, *listed, *code}
    for path in sorted(path for path in placed if path not in known and _source_of(path) not in code):
        yield Problem(f"/{path}", f"is listed by neither the lock, this checkout nor /{MODELS_MANIFEST}")


def _listed(manifest: Mapping[str, Any]) -> Iterator[tuple[str, tuple[object, object]]]:
    files = manifest.get("files")
    for path, entry in files.items() if isinstance(files, dict) else ():
        if isinstance(entry, dict):
            yield f"models/{path}", (entry.get("sha256"), entry.get("size"))


def _source_of(path: str) -> str:
    """The source that a file of byte code was compiled from; else the path."""
    place = PurePosixPath(path)
    if place.parent.name != "__pycache__" or place.suffix != ".pyc":
        return path
    return f"{place.parent.parent}/{place.name.partition('.')[0]}.py"


def _where(number: int, name: str) -> str:
    return f"layer {number + 1} ({name})"


def _describe(member: Member) -> str:
    return f"{member.sha256 or 'no regular file'}, {member.size} bytes"
