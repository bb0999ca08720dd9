"""``/models/manifest.json`` read: the file, its document checked, the values of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from entrypoints.checks import Check, suggest
from entrypoints.faults import DamagedFile, ManifestFault, MissingFile, NewerSchema
from entrypoints.layout import JOINT_LAYOUT, LAYOUT, SCHEMA
from entrypoints.manifest import (
    NAME,
    Artifact,
    Component,
    File,
    Joint,
    Library,
    Limits,
    Manifest,
    NetworkArtifact,
    Scratch,
    Tensor,
    TorchComponent,
    TorchRuntime,
    Warmup,
)
from entrypoints.manifest_agreement import cross_check
from entrypoints.shapes import ALONE, Buckets


def read_manifest(models: Path, member: str = "") -> Manifest:
    """Read and check all of it; ``member`` is the model, where the image has several.

    Raises ManifestFault with every problem, NewerSchema, MissingFile, or DamagedFile.
    """
    content = read_content(models / NAME)
    return read_member(models, content, member) if member else parse_manifest(content)


def read_content(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except FileNotFoundError:
        raise MissingFile(f"{source} is not there") from None
    except OSError as error:
        raise ManifestFault(f"{source}: {error.strerror}") from None


def read_member(models: Path, content: bytes, member: str) -> Manifest:
    """One model's manifest, which the top one lists as it lists every file."""
    top = check_document(content, JOINT_LAYOUT, NAME)
    if member not in top["models"]:
        raise ManifestFault(f"{NAME}: models has no {member}{suggest(member, list(top['models']))}")
    entry = top["models"][member]
    name = entry["manifest"]
    if name not in top["files"]:
        raise ManifestFault(f"{NAME}: files has no {name}")
    manifest = parse_manifest(read_content(models / name), name)
    joint = Joint(top["name"], name.rpartition("/")[0], entry["places"], frozenset(top["files"]))
    return manifest._replace(files={**manifest.files, name: File(**top["files"][name])}, joint=joint)


def parse_manifest(content: bytes, name: str = NAME) -> Manifest:
    checked = check_document(content, LAYOUT, name)
    if problems := cross_check(checked):
        raise ManifestFault([f"{name}: {problem}" for problem in problems])
    return build_manifest(checked)


def check_document(content: bytes, layout: Check, name: str) -> dict[str, Any]:
    document = load_document(content, name)
    schema = document.get("schema") if isinstance(document, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerSchema(
            f"the manifest is written for a newer Prebake: it has schema {schema}, this entrypoint knows {SCHEMA}"
        )
    check_digest(content, document, name)
    problems: list[str] = []
    checked: dict[str, Any] = layout(document, "", problems)
    if problems:
        raise ManifestFault([f"{name}: {problem}" for problem in problems])
    return checked


def check_digest(content: bytes, document: Any, name: str) -> None:
    """Raises DamagedFile where the document is not what its own ``digest`` says, the sha256 of its canonical JSON without that.

    A changed number of it may be as good as another: which value inputs are padded with is known by no other file.
    """
    told = document.get("digest") if isinstance(document, dict) else None
    if isinstance(told, str):
        found = hashlib.sha256(content.replace(f'"digest":"{told}",'.encode(), b"", 1)).hexdigest()
        if found != told:
            raise DamagedFile(f"{name}: corrupt, its sha256 should be {told}, is {found}")


def load_document(content: bytes, name: str) -> Any:
    """JSON without repeated names and without NaN, which Python's reader would let pass."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"repeated names: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
        return found

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(content, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ManifestFault(f"{name} is no JSON: {error}") from None


def build_manifest(document: Mapping[str, Any]) -> Manifest:
    return Manifest(
        name=document["name"],
        target=document["target"],
        checkpoint=document["checkpoint"],
        module=document["model"]["module"],
        revision=document["model"]["revision"],
        components={name: build_component(name, entry) for name, entry in document["components"].items()},
        files={name: File(**entry) for name, entry in document["files"].items()},
        warmup=Warmup(**document["warmup"]),
        limits=Limits(**document["limits"]),
        fallback=document.get("fallback", "announce"),
        torch=TorchRuntime(**document["torch"]) if "torch" in document else None,
    )


def build_component(name: str, entry: Mapping[str, Any]) -> Component | TorchComponent:
    reads = build_reads(entry)
    if "runtime" in entry:
        artifacts = tuple(build_network_artifact(each) for each in entry.get("artifacts", []))
        return TorchComponent(name, entry["config"], entry["precision"], reads, entry["key"], artifacts)
    return Component(
        name=name,
        graph=entry["graph"],
        precision=entry["precision"],
        providers=tuple(entry["providers"]),
        optimize=entry["session"]["optimize"],
        prepack=entry["session"]["prepack"],
        inputs=build_tensors(entry["inputs"]),
        outputs=build_tensors(entry["outputs"]),
        reads=reads,
        key=entry["key"],
        options=entry.get("options", {}),
        artifacts=tuple(build_artifact(each) for each in entry.get("artifacts", [])),
        buckets=build_buckets(entry["buckets"]) if "buckets" in entry else None,
        saturates=entry["session"].get("saturates", False),
    )


def build_tensors(entry: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: Tensor(kind, None if shape is None else tuple(shape)) for name, (kind, shape) in entry.items()}


def build_buckets(entry: Mapping[str, Any]) -> Buckets:
    return Buckets(tuple(entry["shapes"]), entry["pad"], entry["outside"])


def build_artifact(entry: Mapping[str, Any]) -> Artifact:
    return Artifact(
        rung=entry["rung"],
        graph=entry["graph"],
        provider=entry["provider"],
        options=entry["options"],
        optimize=entry["session"]["optimize"],
        prepack=entry["session"]["prepack"],
        fields=entry["fields"],
        least=entry["least"],
        reads=build_reads(entry),
        key=entry["key"],
        weights=entry.get("weights", ""),
        folders=entry.get("folders", {}),
        scratch=build_scratch(entry["scratch"]) if "scratch" in entry else None,
        takes=entry.get("takes", ALONE),
    )


def build_scratch(entry: Mapping[str, Any]) -> Scratch:
    return Scratch(entry["folder"], tuple(entry["options"]))


def build_network_artifact(entry: Mapping[str, Any]) -> NetworkArtifact:
    return NetworkArtifact(
        rung=entry["rung"],
        libraries=tuple(Library(each["folder"], tuple(each["blocks"])) for each in entry.get("libraries", [])),
        cache=entry.get("cache", ""),
        fields=entry["fields"],
        least=entry["least"],
        files=tuple(entry["reads"]),
        key=entry["key"],
    )


def build_reads(entry: Mapping[str, Any]) -> dict[str, tuple[tuple[int, int], ...]]:
    return {file: tuple((offset, length) for offset, length in ranges) for file, ranges in entry["reads"].items()}
