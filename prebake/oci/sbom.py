"""What an image holds, as a bill of materials: packages, weights and the base (CycloneDX 1.6, JSON)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import prebake
from prebake.oci.package import Package
from prebake.oci.provenance import Made, source_uri
from prebake.spec.licences import canonical_licence, is_identifier, is_licence
from prebake.spec.lock import LockedBase, LockedFile

CYCLONEDX = "application/vnd.cyclonedx+json"
_WEIGHTS = {".safetensors", ".onnx", ".pth", ".pt", ".bin", ".ckpt", ".gguf"}


@dataclass(frozen=True)
class BakedFile:
    """A file that the build made, by its path below /models; ``origin`` says as what (``derived``, ``graph`` …)."""

    path: str
    sha256: str
    size: int
    origin: str


def bill_of_materials(made: Made, packages: Iterable[Package], baked: Iterable[BakedFile] = ()) -> dict[str, Any]:
    """``packages`` are those that the image holds. The only time is the image's own, so that the same image has the same
    bill, its serial number included."""
    plan = made.plan
    licence = plan.licence
    components = [
        _base(made.base),
        *(_package(each) for each in packages),
        *(_published(file) for file in plan.shipped),
        *(_baked(file, licence) for file in sorted(baked, key=lambda file: file.path)),
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"oci:{made.digest}").urn,
        "version": 1,
        "metadata": {
            **({"timestamp": plan.metadata.created_text} if plan.metadata.created_text else {}),
            "tools": {"components": [{"type": "application", "name": "prebake", "version": prebake.__version__}]},
            "component": _model(made, licence),
        },
        "components": components,
        "dependencies": [{"ref": made.digest, "dependsOn": [each["bom-ref"] for each in components]}],
    }


def licences(licence: str) -> list[dict[str, Any]]:
    """CycloneDX's licence choice: one SPDX identifier, an expression of several, or a name."""
    if is_identifier(licence):
        return [{"license": {"id": canonical_licence(licence)}}]
    if is_licence(licence) and not re.fullmatch(r"LicenseRef-\S+", licence):
        return [{"expression": canonical_licence(licence)}]
    return [{"license": {"name": licence}}] if licence else []


def _model(made: Made, licence: str) -> dict[str, Any]:
    plan = made.plan
    properties = {
        "image": made.digest,
        "target": plan.target,
        "export-key": plan.export_key,
        "compile-key": plan.compile_key,
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": made.digest,
        "name": plan.name,
        "version": plan.checkpoint,
        "description": plan.spec.description or plan.spec.title,
        "licenses": licences(licence),
        "properties": _properties(properties),
    }


def _base(base: LockedBase) -> dict[str, Any]:
    return {"type": "container", "bom-ref": f"base@{base.digest}", "name": base.reference, "version": base.digest}


def _package(package: Package) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        **({"hashes": [_sha256(package.sha256)]} if package.sha256 else {}),
        **({"licenses": licences(package.licence)} if package.licence else {}),
        **({"properties": found} if (found := _properties({"file": package.file, "path": package.path})) else {}),
    }


def _published(file: LockedFile) -> dict[str, Any]:
    origin = {
        "origin": "published",
        "source": file.source,
        "revision": file.revision,
        "locator": file.locator,
    }
    return {
        **_file(file.path, file.sha256, file.size, origin),
        "licenses": licences(file.licence),
        "externalReferences": [{"type": "distribution", "url": source_uri(file)}],
    }


def _baked(file: BakedFile, licence: str) -> dict[str, Any]:
    """What was made of the checkpoint stays under its licence."""
    return {**_file(file.path, file.sha256, file.size, {"origin": file.origin}), "licenses": licences(licence)}


def _file(path: str, sha256: str, size: int, properties: Mapping[str, str]) -> dict[str, Any]:
    place = f"/models/{path}"
    return {
        "type": "machine-learning-model" if PurePosixPath(path).suffix in _WEIGHTS else "data",
        "bom-ref": place,
        "name": path,
        "hashes": [_sha256(sha256)],
        "properties": _properties({"path": place, "size": str(size), **properties}),
    }


def _properties(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Names and values of our own (CycloneDX's property taxonomy: a namespace in front)."""
    return [{"name": f"prebake:{name}", "value": value} for name, value in values.items() if value]


def _sha256(value: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": value}
