"""The bill of materials of an image: its packages, weights and base (CycloneDX 1.6, JSON)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import prebake
from prebake.oci.attestations.package import Package
from prebake.oci.attestations.provenance import AttestedImage, source_uri
from prebake.spec.image.licenses import canonical_license, is_identifier, is_license
from prebake.spec.lock import LockedBase, LockedFile

CYCLONEDX = "application/vnd.cyclonedx+json"
_WEIGHTS = {".safetensors", ".onnx", ".pth", ".pt", ".bin", ".ckpt", ".gguf"}


@dataclass(frozen=True)
class BakedFile:
    """A file that the build made, by its path below /models. ``origin`` is its kind (``derived``, ``graph`` …)."""

    path: str
    sha256: str
    size: int
    origin: str


def bill_of_materials(
    image: AttestedImage, packages: Iterable[Package], baked: Iterable[BakedFile] = ()
) -> dict[str, Any]:
    """``packages`` are those of the image. The only time is the image's, so that the same image has the same bill and serial
    number."""
    plan = image.plan
    license = plan.license
    components = [
        _base(image.base),
        *(_package(package) for package in packages),
        *(_published(file) for file in plan.shipped),
        *(_baked(file, license) for file in sorted(baked, key=lambda file: file.path)),
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"oci:{image.digest}").urn,
        "version": 1,
        "metadata": {
            **({"timestamp": plan.metadata.created_text} if plan.metadata.created_text else {}),
            "tools": {"components": [{"type": "application", "name": "prebake", "version": prebake.__version__}]},
            "component": _model(image, license),
        },
        "components": components,
        "dependencies": [{"ref": image.digest, "dependsOn": [component["bom-ref"] for component in components]}],
    }


def licenses(license: str) -> list[dict[str, Any]]:
    """CycloneDX's license choice: an SPDX identifier, an expression, or a name."""
    if is_identifier(license):
        return [{"license": {"id": canonical_license(license)}}]
    if is_license(license) and not re.fullmatch(r"LicenseRef-\S+", license):
        return [{"expression": canonical_license(license)}]
    return [{"license": {"name": license}}] if license else []


def _model(image: AttestedImage, license: str) -> dict[str, Any]:
    plan = image.plan
    properties = {
        "image": image.digest,
        "target": plan.target,
        "export-key": plan.export_key,
        "compile-key": plan.compile_key,
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": image.digest,
        "name": plan.name,
        "version": plan.checkpoint,
        "description": plan.spec.description or plan.spec.title,
        "licenses": licenses(license),
        "properties": _properties(properties),
    }


def _base(base: LockedBase) -> dict[str, Any]:
    return {"type": "container", "bom-ref": f"base@{base.digest}", "name": base.reference, "version": base.digest}


def _package(package: Package) -> dict[str, Any]:
    properties = _properties({"file": package.file, "path": package.path})
    return {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        **({"hashes": [_sha256(package.sha256)]} if package.sha256 else {}),
        **({"licenses": licenses(package.license)} if package.license else {}),
        **({"properties": properties} if properties else {}),
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
        "licenses": licenses(file.license),
        "externalReferences": [{"type": "distribution", "url": source_uri(file)}],
    }


def _baked(file: BakedFile, license: str) -> dict[str, Any]:
    """A file that was made from the checkpoint has its license."""
    return {**_file(file.path, file.sha256, file.size, {"origin": file.origin}), "licenses": licenses(license)}


def _file(path: str, sha256: str, size: int, properties: Mapping[str, str]) -> dict[str, Any]:
    full_path = f"/models/{path}"
    return {
        "type": "machine-learning-model" if PurePosixPath(path).suffix in _WEIGHTS else "data",
        "bom-ref": full_path,
        "name": path,
        "hashes": [_sha256(sha256)],
        "properties": _properties({"path": full_path, "size": str(size), **properties}),
    }


def _properties(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Properties in Prebake's namespace (CycloneDX's property taxonomy)."""
    return [{"name": f"prebake:{name}", "value": value} for name, value in values.items() if value]


def _sha256(value: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": value}
