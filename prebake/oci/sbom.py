"""What an image holds, as a bill of materials: packages, weights and the base (CycloneDX 1.6, JSON)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import prebake
from prebake.oci.provenance import Made, source_uri
from prebake.spec.licences import canonical_licence, is_identifier, is_licence
from prebake.spec.lock import LockedBase, LockedFile

CYCLONEDX = "application/vnd.cyclonedx+json"
_WEIGHTS = {".safetensors", ".onnx", ".pth", ".pt", ".bin", ".ckpt", ".gguf"}
_REQUIREMENT = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Package:
    """A Python package as a lock pins it; ``hashes`` are the sha256 of every file that it may come as."""

    name: str
    version: str
    hashes: tuple[str, ...]

    @property
    def purl(self) -> str:
        """The package URL, with the name as PyPI compares it."""
        return f"pkg:pypi/{re.sub(r'[-_.]+', '-', self.name).lower()}@{self.version.replace('+', '%2B')}"


@dataclass(frozen=True)
class BakedFile:
    """A file that the build made, by its path below /models; ``origin`` says as what (``derived``, ``graph`` …)."""

    path: str
    sha256: str
    size: int
    origin: str


def bill_of_materials(made: Made, requirements: str, baked: Iterable[BakedFile] = ()) -> dict[str, Any]:
    """``requirements`` is the lock that the image's packages were installed from. No time is told: the same image has the
    same bill, its serial number included."""
    plan = made.plan
    licence = plan.licence
    components = [
        _base(made.base),
        *(_package(each) for each in read_requirements(requirements)),
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
            "tools": {"components": [{"type": "application", "name": "prebake", "version": prebake.__version__}]},
            "component": _model(made, licence),
        },
        "components": components,
        "dependencies": [{"ref": made.digest, "dependsOn": [each["bom-ref"] for each in components]}],
    }


def read_requirements(text: str) -> Iterator[Package]:
    """The packages that a requirements lock pins, in its order."""
    for line in text.replace("\\\n", " ").splitlines():
        if found := _REQUIREMENT.match(line):
            yield Package(found[1], found[2], tuple(_HASH.findall(line)))


def licences(licence: str) -> list[dict[str, Any]]:
    """CycloneDX's licence choice: one SPDX identifier, an expression of several, or a name."""
    if is_identifier(licence):
        return [{"license": {"id": canonical_licence(licence)}}]
    if is_licence(licence) and not licence.startswith("LicenseRef-"):
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
        "hashes": [_sha256(each) for each in package.hashes],
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
