"""Manifests and indexes of a registry that cannot be trusted: each is an error of the registry, and no other one."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from prebake.oci.blobs.blobs import MANIFEST, Descriptor
from prebake.oci.errors import RegistryError
from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from prebake.workflow.benchmark.registry_image import _choose, _parse, _read

REFERENCE = parse_reference("registry.example.com/acme/toy:main")
DIGEST = f"sha256:{'a' * 64}"
CONFIG: dict[str, Any] = {"mediaType": "config", "digest": DIGEST, "size": 2}
AMD64 = {"os": "linux", "architecture": "amd64"}


class Named:
    """A repository that is not asked for anything."""

    reference = REFERENCE


def read(data: bytes) -> None:
    _read(cast(Repository, Named()), Descriptor(MANIFEST, DIGEST, len(data)), data)


def test_a_manifest_is_read() -> None:
    read(json.dumps({"config": CONFIG, "layers": [CONFIG]}).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b"1",
        json.dumps({"config": CONFIG, "layers": None}).encode(),
        json.dumps({"config": CONFIG, "layers": ["x"]}).encode(),
        *(
            json.dumps({"config": {**CONFIG, **wrong}, "layers": []}).encode()
            for wrong in (
                {"size": "2"},
                {"size": -1},
                {"size": 1.5},
                {"size": float("inf")},
                {"digest": "sha256:../../../x"},
                {"digest": 7},
                {"digest": ["a"]},
            )
        ),
    ],
)
def test_another_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(RegistryError, match=r"registry\.example\.com"):
        read(data)


def test_the_entry_of_the_platform_is_chosen() -> None:
    unknown = {"digest": f"sha256:{'b' * 64}", "platform": {"os": "unknown", "architecture": "unknown"}}
    index = {"manifests": [unknown, {"digest": DIGEST, "platform": AMD64}]}
    assert _choose(REFERENCE, index, "linux/amd64") == DIGEST


@pytest.mark.parametrize(
    "entries",
    [
        7,
        {"linux/amd64": DIGEST},
        ["x"],
        [None],
        [{"platform": AMD64}],
        [{"digest": 7, "platform": AMD64}],
        [{"digest": "latest", "platform": AMD64}],
        [{"digest": "sha256:../x", "platform": AMD64}],
        [{"digest": DIGEST, "platform": "linux/amd64"}],
        [{"digest": DIGEST, "platform": {"os": 1, "architecture": 2}}],
    ],
)
def test_an_index_without_a_readable_entry_is_refused(entries: object) -> None:
    with pytest.raises(RegistryError, match=r"registry\.example\.com"):
        _choose(REFERENCE, _parse(REFERENCE, json.dumps({"manifests": entries}).encode()), "linux/amd64")
