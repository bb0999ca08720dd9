"""The provenance of an image, as a statement that others can sign and verify (in-toto Statement v1, SLSA provenance v1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import prebake
from prebake.plan.image_metadata import Metadata
from prebake.plan.values import Plan
from prebake.spec.lock import LockedBase, LockedFile

IN_TOTO = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:prebake:build:v1"


@dataclass(frozen=True)
class AttestedImage:
    """The image that a statement is about: its manifest's ``digest`` (``sha256:…``), its plan and its base."""

    plan: Plan
    digest: str
    base: LockedBase


@dataclass(frozen=True)
class Run:
    """One run of a CI system: ``invocation`` is its URI, the times are RFC 3339. All are empty for a build outside a CI
    system; then the same image by the same builder has the same statement."""

    invocation: str = ""
    started: str = ""
    finished: str = ""

    @property
    def metadata(self) -> dict[str, Any]:
        """SLSA's ``runDetails.metadata``, if there is any."""
        if not self.invocation:
            return {}
        fields = {"invocationId": self.invocation, "startedOn": self.started, "finishedOn": self.finished}
        return {"metadata": {key: value for key, value in fields.items() if value}}


def provenance(image: AttestedImage, compression: str, builder: str, run: Run | None = None) -> dict[str, Any]:
    """``builder`` is the URI of the builder that vouches for the image (SLSA's ``builder.id``)."""
    plan = image.plan
    return {
        "_type": STATEMENT,
        "subject": [{"name": plan.name, "digest": _digest(image.digest)}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "model": plan.name,
                    "target": plan.target,
                    "checkpoint": plan.checkpoint,
                    "compression": compression,
                    **_external_parameters(plan.metadata),
                },
                "internalParameters": {
                    "exportKey": plan.export_key,
                    "compileKey": plan.compile_key,
                    "prebakeVersion": prebake.__version__,
                },
                "resolvedDependencies": [*_source(plan.metadata), _base(image.base), *_files(plan.files)],
            },
            "runDetails": {"builder": {"id": builder}, **(run or Run()).metadata},
        },
    }


def source_uri(file: LockedFile) -> str:
    """The URI of a checkpoint's file: a package URL if the kind of source has one. The fragment names the file in a repository or
    an archive."""
    kind, _, origin = file.source.partition(":")
    place = f"#{quote(file.locator)}"
    if kind == "hub":
        return f"pkg:huggingface/{quote(origin.partition('@')[0])}@{quote(file.revision)}{place}"
    if kind == "pypi":
        return f"pkg:pypi/{quote(origin)}@{quote(file.revision)}{place}"
    if kind == "http":
        return f"{origin}{place}" if file.locator else origin
    return f"{kind}:{quote(origin or file.revision)}{place}"


def _external_parameters(metadata: Metadata) -> dict[str, Any]:
    """The image's metadata that the user gave."""
    parameters = {"source": _source_of(metadata), "created": metadata.created_text, "labels": dict(metadata.given)}
    return {key: value for key, value in parameters.items() if value}


def _source(metadata: Metadata) -> list[dict[str, Any]]:
    """The source repository at its commit. If the working tree differs from the commit, the commit's digest is left out."""
    if not metadata.commit:
        return []
    uri = {"uri": uri} if (uri := _source_of(metadata)) else {}
    if metadata.dirty:
        return [{"name": "source", **uri, "annotations": {"revision": metadata.revision}}] if uri else []
    return [{"name": "source", **uri, "digest": {"gitCommit": metadata.commit}}]


def _source_of(metadata: Metadata) -> str:
    """A repository's URI in SPDX's form (``git+https://…@refs/heads/main``)."""
    ref = f"@{metadata.ref}" if metadata.ref else ""
    return f"git+{metadata.source}{ref}" if metadata.source else ""


def _base(base: LockedBase) -> dict[str, Any]:
    """The base by its digest alone: the same image may come from several registries."""
    name = base.reference.rpartition("/")[2].partition(":")[0]
    return {
        "name": base.reference,
        "uri": f"pkg:oci/{quote(name)}@{quote(base.digest)}",
        "digest": _digest(base.digest),
    }


def _files(files: Iterable[LockedFile]) -> list[dict[str, Any]]:
    """The checkpoint's files, those that were converted included."""
    return [{"name": file.path, "uri": source_uri(file), "digest": {"sha256": file.sha256}} for file in files]


def _digest(digest: str) -> dict[str, str]:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}
