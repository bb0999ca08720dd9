"""An image at a registry compared with a plan: every difference, layer by layer and file by file."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from prebake.errors import Problem
from prebake.oci.layers.layer_reader import Member
from prebake.plan.image_config import container_config
from prebake.plan.values import Plan
from prebake.workflow.layers.remote_image import (
    BASE_LAYER,
    HASHED_FOLDERS,
    MODELS_MANIFEST,
    RemoteImage,
    describe_mismatch,
)

_RESERVED = (*HASHED_FOLDERS, "opt/prebake/")  # paths that no layer of the base image may hold
_MAX_NAMES = 3  # faulty entries of a layer that are listed; the others are counted
# Variables that change how the server runs. PYTHON_VERSION and its like are facts of the base image.
_SERVER_VARIABLES = re.compile(r"PREBAKE_|ORT_|LD_|PYTHON(?!_)")


def find_differences(plan: Plan, image: RemoteImage) -> Iterator[Problem]:
    """Every difference, with the claimed and the found value."""
    yield from image.faults
    yield from _compare_layers(plan, image)
    yield from _compare_config(plan, image.config.get("config") or {})
    yield from _check_paths(plan, image)
    yield from _compare_files(plan, image)


def _compare_layers(plan: Plan, image: RemoteImage) -> Iterator[Problem]:
    claimed, found = image.diffs, [layer.diff_id for layer in image.layers]
    if len(claimed) != len(found):
        yield Problem(
            "layers", describe_mismatch(f"{len(claimed)} by the config's diff_ids", f"{len(found)} in the manifest")
        )
        yield from (
            Problem("layers", f"no layer has the diff_id {diff_id}") for diff_id in claimed if diff_id not in found
        )
        yield from (
            Problem("layers", f"the config lacks the diff_id {diff_id}") for diff_id in found if diff_id not in claimed
        )
    if len(image.history) != len(claimed):
        yield Problem(
            "history", describe_mismatch(f"{len(claimed)} layers by the config's diff_ids", f"{len(image.history)}")
        )
    expected = [BASE_LAYER, *(layer.name for layer in plan.layers)]
    if (order := [name for name, _ in groupby(image.history)]) != expected:
        yield Problem("layers", describe_mismatch(", ".join(expected), ", ".join(order) or "none"))
    for number, (name, layer) in enumerate(zip(image.names, image.layers, strict=True)):
        where = _where(number, name)
        if layer.fault:
            yield Problem(where, layer.fault)
        elif len(claimed) == len(found) and claimed[number] != layer.diff_id:
            yield Problem(f"{where} diff_id", describe_mismatch(claimed[number], layer.diff_id))
        if name != BASE_LAYER and layer.irregular:
            more = f" and {len(layer.irregular) - _MAX_NAMES} more" if len(layer.irregular) > _MAX_NAMES else ""
            yield Problem(
                where, f"has entries that Prebake does not write: {', '.join(layer.irregular[:_MAX_NAMES])}{more}"
            )


def _compare_config(plan: Plan, config: Mapping[str, Any]) -> Iterator[Problem]:
    """The config's user, command, ports, variables and labels; the labels include the base image's digest."""
    expected = container_config(plan)
    pairs: list[tuple[str, object, object]] = [
        ("User", expected.user, config.get("User")),
        ("Entrypoint", list(expected.entrypoint), config.get("Entrypoint")),
        ("Cmd", None, config.get("Cmd") or None),
        ("ExposedPorts", True, {f"{port}/tcp" for port in expected.ports} <= {*(config.get("ExposedPorts") or {})}),
    ]
    found: dict[str, list[str]] = defaultdict(list)
    for entry in config.get("Env") or []:
        name, _, value = str(entry).partition("=")
        found[name].append(value)
    variables = {name for name in found if _SERVER_VARIABLES.match(name)}
    for name in sorted(variables | expected.env.keys()):
        claimed = [expected.env[name]] if name in expected.env else []
        pairs.append((f"Env {name}", claimed, found.get(name, [])))
    yield from (Problem(f"config {where}", describe_mismatch(a, b)) for where, a, b in pairs if a != b)
    yield from compare_labels(plan, config, "config")


def compare_labels(plan: Plan, config: Mapping[str, Any], where: str) -> Iterator[Problem]:
    labels = config.get("Labels") or {}
    for name, value in container_config(plan).labels.items():
        if labels.get(name) != value:
            yield Problem(f"{where} label {name}", describe_mismatch(value, labels.get(name)))


def _check_paths(plan: Plan, image: RemoteImage) -> Iterator[Problem]:
    """A layer holds files below its own paths only, and the base image's layers none below ours."""
    paths_by_layer = {layer.name: layer.paths for layer in plan.layers}
    for number, (name, layer) in enumerate(zip(image.names, image.layers, strict=True)):
        for member in layer.members:
            if name == BASE_LAYER:
                stray = member.path.startswith(_RESERVED)
            else:
                paths = paths_by_layer.get(name, ("/",))
                stray = not any(PurePosixPath("/", member.path).is_relative_to(path) for path in paths)
            reserved = f"{member.path}/" in _RESERVED  # must be a folder: a link could point to other files
            if stray or reserved:
                yield Problem(_where(number, name), f"contains /{member.path}, which does not belong there")


def _compare_files(plan: Plan, image: RemoteImage) -> Iterator[Problem]:
    """The files below /models and /app: each once, with the bytes of lock, checkout and manifest, and no others."""
    placed: dict[str, list[tuple[int, Member]]] = defaultdict(list)
    for number, layer in enumerate(image.layers, 1):
        for member in layer.members:
            if member.path.startswith(HASHED_FOLDERS):
                placed[member.path].append((number, member))
    for path, places in placed.items():
        if len(places) > 1:
            yield Problem(f"/{path}", f"is in several layers: {', '.join(str(number) for number, _ in places)}")
    listed = dict(_listed(image.manifest))
    if not listed:
        yield Problem(f"/{MODELS_MANIFEST}", "is missing, or lists no files")
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
                yield Problem(f"/{path}", describe_mismatch(f"{sha256} by {by}", "no such file"))
            yield from (
                Problem(
                    f"/{path} in layer {number}",
                    describe_mismatch(f"{sha256}, {size} bytes, by {by}", _describe(member)),
                )
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
    """The path of a byte code file's source; any other path unchanged."""
    place = PurePosixPath(path)
    if place.parent.name != "__pycache__" or place.suffix != ".pyc":
        return path
    return f"{place.parent.parent}/{place.name.partition('.')[0]}.py"


def _where(number: int, name: str) -> str:
    return f"layer {number + 1} ({name})"


def _describe(member: Member) -> str:
    return f"{member.sha256 or 'no regular file'}, {member.size} bytes"
