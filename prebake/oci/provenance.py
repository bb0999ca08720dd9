"""How an image was made, as a statement that others can sign and check (in-toto Statement v1, SLSA provenance v1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import prebake
from prebake.plan.metadata import Metadata
from prebake.plan.values import Plan
from prebake.spec.lock import LockedBase, LockedFile

IN_TOTO = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:prebake:build:v1"


@dataclass(frozen=True)
class Made:
    """An image, by its manifest's ``digest`` (``sha256:…``), and the plan and the base that it was made of."""

    plan: Plan
    digest: str
    base: LockedBase


@dataclass(frozen=True)
class Run:
    """One run of a CI system: ``invocation`` is its URI, the times are RFC 3339. All empty for a build that nobody can look
    up: then the same image by the same builder has the same statement."""

    invocation: str = ""
    started: str = ""
    finished: str = ""

    @property
    def metadata(self) -> dict[str, Any]:
        """SLSA's ``runDetails.metadata``, if there is any."""
        if not self.invocation:
            return {}
        found = {"invocationId": self.invocation, "startedOn": self.started, "finishedOn": self.finished}
        return {"metadata": {key: value for key, value in found.items() if value}}


def provenance(made: Made, compression: str, builder: str, run: Run | None = None) -> dict[str, Any]:
    """``builder`` is the URI of who vouches for the build (SLSA's ``builder.id``)."""
    plan = made.plan
    return {
        "_type": STATEMENT,
        "subject": [{"name": plan.name, "digest": _digest(made.digest)}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "model": plan.name,
                    "target": plan.target,
                    "checkpoint": plan.checkpoint,
                    "compression": compression,
                    **_asked(plan.metadata),
                },
                "internalParameters": {
                    "exportKey": plan.export_key,
                    "compileKey": plan.compile_key,
                    "prebakeVersion": prebake.__version__,
                },
                "resolvedDependencies": [*_source(plan.metadata), _base(made.base), *_files(plan.files)],
            },
            "runDetails": {"builder": {"id": builder}, **(run or Run()).metadata},
        },
    }


def source_uri(file: LockedFile) -> str:
    """Where a file of a checkpoint was published: a package URL where the kind of source has one, down to the file. What
    lies in an archive is named by the fragment."""
    kind, _, origin = file.source.partition(":")
    place = f"#{quote(file.locator)}"
    if kind == "hub":
        return f"pkg:huggingface/{quote(origin.partition('@')[0])}@{quote(file.revision)}{place}"
    if kind == "pypi":
        return f"pkg:pypi/{quote(origin)}@{quote(file.revision)}{place}"
    if kind == "http":
        return f"{origin}{place}" if file.locator else origin
    return f"{kind}:{quote(origin or file.revision)}{place}"


def _asked(metadata: Metadata) -> dict[str, Any]:
    """What of the image's metadata came from outside."""
    asked = {"source": _source_of(metadata), "created": metadata.created_text, "labels": dict(metadata.given)}
    return {key: value for key, value in asked.items() if value}


def _source(metadata: Metadata) -> list[dict[str, Any]]:
    """The repository at its commit. A tree that differs from the commit is not what the commit's digest stands for."""
    if not metadata.commit:
        return []
    uri = {"uri": uri} if (uri := _source_of(metadata)) else {}
    if metadata.dirty:
        return [{"name": "source", **uri, "annotations": {"revision": metadata.revision}}] if uri else []
    return [{"name": "source", **uri, "digest": {"gitCommit": metadata.commit}}]


def _source_of(metadata: Metadata) -> str:
    """SPDX's form of a repository's URI (``git+https://…@refs/heads/main``)."""
    ref = f"@{metadata.ref}" if metadata.ref else ""
    return f"git+{metadata.source}{ref}" if metadata.source else ""


def _base(base: LockedBase) -> dict[str, Any]:
    """By its digest alone: which registry it came from makes no difference to what it is."""
    name = base.reference.rpartition("/")[2].partition(":")[0]
    return {
        "name": base.reference,
        "uri": f"pkg:oci/{quote(name)}@{quote(base.digest)}",
        "digest": _digest(base.digest),
    }


def _files(files: Iterable[LockedFile]) -> list[dict[str, Any]]:
    """Those that were converted too, and lie in the image as something else."""
    return [{"name": file.path, "uri": source_uri(file), "digest": {"sha256": file.sha256}} for file in files]


def _digest(digest: str) -> dict[str, str]:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}
