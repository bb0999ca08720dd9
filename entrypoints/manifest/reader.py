"""Reads ``/models/manifest.json``: checks its schema version and its digest, and builds the values."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from math import inf
from operator import index
from pathlib import Path
from typing import Any

from entrypoints.errors import DamagedFile, ManifestFault, MissingFile, NewerSchema
from entrypoints.manifest.checks import (
    FALLBACKS,
    OVERFLOWS,
    TORCH_DEVICES,
    build_at,
    build_each,
    check_manifest_paths,
    check_number,
    check_paths,
    read_choice,
    read_module,
    read_text,
    wrong_content_as_fault,
)
from entrypoints.manifest.shape_buckets import ACCEPTS, ACCEPTS_BUCKETS, Buckets
from entrypoints.manifest.values import (
    MANIFEST_FILE,
    Artifact,
    File,
    Limits,
    Manifest,
    MultiModel,
    OnnxComponent,
    ScratchFolder,
    SessionEntry,
    SharedLibrary,
    TensorSpec,
    TorchArtifact,
    TorchComponent,
    TorchRuntime,
    Warmup,
)
from entrypoints.suggestion import suggest

SCHEMA = 2
"""The schema version of the manifests that this entrypoint reads; equal to ``prebake.documents.manifest.schema.SCHEMA``."""


def read_manifest(models: Path, member: str = "") -> Manifest:
    """Read the manifest of an image. ``member`` names the model in an image of several models.

    The builder validates a manifest before it computes the digest (``prebake.documents.manifest``), so that only the digest,
    the schema version, the paths and the types that the start depends on are checked here. Raises ManifestFault, NewerSchema,
    MissingFile or DamagedFile.
    """
    content = read_content(models / MANIFEST_FILE)
    return read_member(models, content, member) if member else parse_manifest(content)


def read_content(source: Path) -> bytes:
    try:
        if not stat.S_ISREG(source.stat().st_mode):
            raise ManifestFault(f"{source} is not a regular file")
        return source.read_bytes()
    except FileNotFoundError:
        raise MissingFile(f"{source} is missing") from None
    except OSError as error:
        raise ManifestFault(f"{source}: {error.strerror}") from None


def read_member(models: Path, content: bytes, member: str) -> Manifest:
    """The manifest of one model. The top manifest lists its file like any other file of the image."""
    top = load_document(content, MANIFEST_FILE)
    if "models" not in top:
        raise ManifestFault(f"{MANIFEST_FILE} has no models, so the image has one model: unset PREBAKE_MODEL_NAMES")
    with wrong_content_as_fault(MANIFEST_FILE):
        if member not in top["models"]:
            raise ManifestFault(f"{MANIFEST_FILE}: models has no {member}{suggest(member, list(top['models']))}")
        entry = top["models"][member]
        name, paths = entry["manifest"], entry["paths"]
        check_paths([name, *paths, *paths.values(), *top["files"]])
        image = read_text(top, "name")
        if name not in top["files"]:
            raise ManifestFault(f"{MANIFEST_FILE}: files has no {name}, which is the manifest of {member}")
        file = build_at(f"files: {name}", build_file, name, top["files"][name])
        multi_model = MultiModel(
            image=image,
            prefix=name.rpartition("/")[0],
            paths=paths,
            files=frozenset(top["files"]),
            file_bytes=sum(index(file["size"]) for file in top["files"].values()),
            models=len(top["models"]),
        )
    manifest = parse_manifest(read_content(models / name), name)
    return manifest._replace(files={**manifest.files, name: file}, multi_model=multi_model)


def parse_manifest(content: bytes, name: str = MANIFEST_FILE) -> Manifest:
    document = load_document(content, name)
    with wrong_content_as_fault(name):
        manifest = build_manifest(document)
        check_manifest_paths(manifest)
    return manifest


def load_document(content: bytes, name: str) -> dict[str, Any]:
    """The JSON object in ``content``, once its schema version and its digest are checked."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ManifestFault(f"{name} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ManifestFault(f"{name} should be a JSON object")
    check_schema(document.get("schema"), name)
    check_digest(content, document.get("digest"), name)
    return document


def check_schema(schema: object, name: str) -> None:
    """Raises NewerSchema, or ManifestFault if the schema version is older or missing."""
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise ManifestFault(f"{name} has no schema version")
    if schema > SCHEMA:
        raise NewerSchema(
            f"{name} was written for a newer Prebake: it has schema {schema}, this entrypoint reads {SCHEMA}"
        )
    if schema < SCHEMA:
        raise ManifestFault(
            f"{name} was written by an older Prebake: it has schema {schema}, this entrypoint reads {SCHEMA}"
        )


def check_digest(content: bytes, digest: object, name: str) -> None:
    """Raises DamagedFile if the sha256 of the document without its ``digest`` is not that digest, ManifestFault without one.

    The builder writes canonical JSON, so that the digest's own bytes can be cut out of ``content``.
    """
    if not isinstance(digest, str):
        raise ManifestFault(f"{name} has no digest, so its content cannot be verified")
    found = hashlib.sha256(content.replace(f'"digest":"{digest}",'.encode(), b"", 1)).hexdigest()
    if found != digest:
        raise DamagedFile(f"{name}: corrupt, its sha256 should be {digest}, is {found}")


def build_manifest(document: Mapping[str, Any]) -> Manifest:
    return Manifest(
        name=read_text(document, "name"),
        target=read_text(document, "target"),
        checkpoint=read_text(document, "checkpoint"),
        module=build_at("model", read_module, document["model"], "module"),
        revision=build_at("model", read_text, document["model"], "revision"),
        components=build_each("components", document["components"], build_component),
        files=build_each("files", document["files"], build_file),
        warmup=build_at("warmup", build_warmup, document["warmup"]),
        limits=build_at("limits", build_limits, document["limits"]),
        fallback=read_choice(document, "fallback", FALLBACKS) if "fallback" in document else "warn",
        torch=build_at("torch", build_torch_runtime, document["torch"]) if "torch" in document else None,
    )


def build_file(_name: str, entry: Mapping[str, Any]) -> File:
    file = File(**entry)
    if type(file.size) is not int or file.size < 0:
        raise ValueError(f"size should be a whole number of bytes, is {file.size!r}")
    if type(file.sha256) is not str or type(file.xxh3) is not str:
        raise ValueError(f"digests should be strings, are {file.sha256!r} and {file.xxh3!r}")
    return file


def build_warmup(entry: Mapping[str, Any]) -> Warmup:
    warmup = Warmup(**entry)
    read_text(entry, "media_type")
    check_number("tolerance", warmup.tolerance, 0)
    return warmup


def build_limits(entry: Mapping[str, Any]) -> Limits:
    limits = Limits(**entry)
    check_number("body_bytes", limits.body_bytes, 1, whole=True)
    check_number("queue", limits.queue, 0, whole=True)
    check_number("seconds", limits.seconds, 0)
    if not limits.seconds:
        raise ValueError("seconds should be above 0")
    return limits


def build_torch_runtime(entry: Mapping[str, Any]) -> TorchRuntime:
    runtime = TorchRuntime(**entry)
    read_module(entry, "module")
    read_choice(entry, "device", TORCH_DEVICES)
    read_text(entry, "compiled")
    return runtime


def build_component(name: str, entry: Mapping[str, Any]) -> OnnxComponent | TorchComponent:
    return (build_torch_component if "runtime" in entry else build_onnx_component)(name, entry)


def build_onnx_component(name: str, entry: Mapping[str, Any]) -> OnnxComponent:
    return OnnxComponent(
        name=name,
        graph=entry["graph"],
        precision=read_text(entry, "precision"),
        providers=tuple(entry["providers"]),
        session=build_session(entry["session"]),
        inputs=build_tensors(entry["inputs"]),
        outputs=build_tensors(entry["outputs"]),
        byte_ranges=build_byte_ranges(entry["byte_ranges"]),
        key=entry["key"],
        provider_options=entry.get("provider_options", {}),
        artifacts=tuple(build_artifact(artifact, entry["graph"]) for artifact in entry.get("artifacts", [])),
        buckets=build_buckets(entry["buckets"]) if "buckets" in entry else None,
    )


def build_torch_component(name: str, entry: Mapping[str, Any]) -> TorchComponent:
    return TorchComponent(
        name=name,
        config=entry["config"],
        precision=read_text(entry, "precision"),
        byte_ranges=build_byte_ranges(entry["byte_ranges"]),
        key=entry["key"],
        artifacts=tuple(build_torch_artifact(artifact) for artifact in entry.get("artifacts", [])),
    )


def build_session(entry: Mapping[str, Any]) -> SessionEntry:
    return SessionEntry(
        read_text(entry, "optimize"), read_choice(entry, "prepack", (True, False)), entry.get("int8_saturates", False)
    )


def build_tensors(entry: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {name: TensorSpec(dtype, None if shape is None else tuple(shape)) for name, (dtype, shape) in entry.items()}


def build_buckets(entry: Mapping[str, Any]) -> Buckets:
    shapes = tuple({axis: index(length) for axis, length in shape.items()} for shape in entry["shapes"])
    for name, value in entry["pad"].items():
        check_number(f"pad: {name}", value, -inf)
    return Buckets(shapes, entry["pad"], read_choice(entry, "overflow", OVERFLOWS))


def build_artifact(entry: Mapping[str, Any], component_graph: str) -> Artifact:
    return Artifact(
        name=entry["name"],
        graph=entry["graph"],
        providers=(entry["provider"],),
        provider_options=entry["provider_options"],
        session=build_session(entry["session"]),
        requires=entry["requires"],
        minimum=entry["minimum"],
        byte_ranges=build_byte_ranges(entry["byte_ranges"]),
        key=entry["key"],
        weights_folder=entry.get("weights_folder", ""),
        folder_options=entry.get("folder_options", {}),
        scratch=build_scratch(entry["scratch"]) if "scratch" in entry else None,
        accepts=read_choice(entry, "accepts", ACCEPTS) if "accepts" in entry else ACCEPTS_BUCKETS,
        compiles_at_open=entry["graph"] == component_graph,
    )


def build_scratch(entry: Mapping[str, Any]) -> ScratchFolder:
    return ScratchFolder(entry["folder"], tuple(entry["option_names"]))


def build_torch_artifact(entry: Mapping[str, Any]) -> TorchArtifact:
    libraries = entry.get("libraries", [])
    return TorchArtifact(
        name=entry["name"],
        libraries=tuple(
            SharedLibrary(library["folder"], tuple(map(index, library["blocks"]))) for library in libraries
        ),
        cache=entry.get("cache", ""),
        requires=entry["requires"],
        minimum=entry["minimum"],
        files=tuple(entry["byte_ranges"]),
        key=entry["key"],
    )


def build_byte_ranges(entry: Mapping[str, Any]) -> dict[str, tuple[tuple[int, int], ...]]:
    return {file: tuple((index(offset), index(length)) for offset, length in ranges) for file, ranges in entry.items()}
