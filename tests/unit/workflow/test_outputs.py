"""Places as ``--output`` and ``--push`` name them."""

from __future__ import annotations

from typing import cast

import pytest

from prebake.docker.connection import Connection
from prebake.errors import PrebakeError
from prebake.io.log import silent
from prebake.oci.reference import parse_reference
from prebake.workflow.delivery.outputs import (
    OutputInvalid,
    RegistryOutput,
    check_outputs,
    mounting_from,
    read_output,
    read_outputs,
)

NOBODY = cast(Connection, None)


def test_a_push_by_digest_is_refused_and_not_made_to_latest() -> None:
    with pytest.raises(OutputInvalid) as caught:
        read_output(f"registry:host.example/toy:v1@sha256:{'0' * 64}", NOBODY, "toy", lambda line: None)
    assert caught.value.next_action == "give a tag: host.example/toy:v1"


@pytest.mark.parametrize("place", ["docker:", "oci:", "engine", "registry:", "registry:host.example/UPPER"])
def test_a_place_that_is_none_is_refused_before_anything_is_done(place: str) -> None:
    with pytest.raises(PrebakeError, match=place.rpartition(":")[2] or place):
        check_outputs([place], "toy", attestations=False)


@pytest.mark.parametrize("tag", ["a b", "host.example/UPPER", "x:y:z", f"toy@sha256:{'0' * 64}"])
def test_a_tag_that_no_image_can_have_is_refused_before_anything_is_done(tag: str) -> None:
    with pytest.raises(PrebakeError):
        check_outputs(["docker"], tag, attestations=False)


def test_attestations_need_a_registry() -> None:
    check_outputs(["docker", "registry:host.example/toy:v1"], "toy", attestations=True)
    with pytest.raises(OutputInvalid, match="--require-attestations"):
        check_outputs(["docker", "oci:folder"], "toy", attestations=True)


def test_a_push_by_digest_needs_a_registry_and_takes_no_tag() -> None:
    check_outputs(["docker", "registry:host.example/toy"], "toy", attestations=True, by_digest=True)
    with pytest.raises(OutputInvalid, match="--by-digest needs a registry"):
        check_outputs(["docker", "oci:folder"], "toy", attestations=False, by_digest=True)
    places = ["registry:host.example/toy:v1", "registry:host.example/other", "registry:host.example:5000/toy:v2"]
    with pytest.raises(OutputInvalid) as caught:
        check_outputs(places, "toy", attestations=False, by_digest=True)
    assert "host.example/toy:v1, host.example:5000/toy:v2" in caught.value.message
    assert "--push host.example/toy)" in caught.value.next_action


def test_blobs_are_mounted_from_caches_of_the_same_registry() -> None:
    (output,) = read_outputs(["registry:host.example/pull/toy:1"], NOBODY, "toy", silent)
    references = [parse_reference(name) for name in ("host.example/toy:v1", "host.example/pull/toy", "other.example/x")]
    (found,) = mounting_from([output], references)
    assert isinstance(found, RegistryOutput)
    assert list(found.others) == ["toy"]
