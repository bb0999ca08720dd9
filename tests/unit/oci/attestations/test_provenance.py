"""The statement of provenance: in-toto's and SLSA's fields, filled from the plan."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

import prebake
from prebake.oci.attestations.provenance import AttestedImage, Run, provenance, source_uri
from prebake.plan.image_metadata import Metadata
from prebake.plan.planner import make_plan
from prebake.plan.values import Options
from prebake.spec.lock import LockedBase, LockedFile
from prebake.spec.project import read_project
from tests.support.repository import ROOT

DIGEST = "sha256:" + "e" * 64
BUILDER = "https://builder.example/main"


@pytest.fixture(scope="module")
def made() -> AttestedImage:
    return AttestedImage(
        make_plan(read_project(ROOT, "minilm"), Options()), DIGEST, LockedBase("host/python:3.11", "sha256:" + "b" * 64)
    )


@pytest.fixture(scope="module")
def statement(made: AttestedImage) -> dict[str, Any]:
    return provenance(made, "zstd", BUILDER)


def test_it_is_a_statement_about_the_image(statement: dict[str, Any]) -> None:
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [{"name": "minilm", "digest": {"sha256": "e" * 64}}]


def test_it_says_what_was_asked_for_and_what_followed(made: AttestedImage, statement: dict[str, Any]) -> None:
    definition = statement["predicate"]["buildDefinition"]
    assert definition["buildType"].startswith("urn:prebake:build:")
    assert definition["externalParameters"] == {
        "model": "minilm",
        "target": "cpu",
        "checkpoint": "published",
        "compression": "zstd",
    }
    assert definition["internalParameters"] == {
        "exportKey": made.plan.export_key,
        "compileKey": made.plan.compile_key,
        "prebakeVersion": prebake.__version__,
    }
    assert statement["predicate"]["runDetails"] == {"builder": {"id": BUILDER}}


def test_it_names_the_base_and_every_file_of_the_checkpoint_by_digest(
    made: AttestedImage, statement: dict[str, Any]
) -> None:
    base, *files = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert base == {
        "name": "host/python:3.11",
        "uri": f"pkg:oci/python@sha256%3A{'b' * 64}",
        "digest": {"sha256": "b" * 64},
    }
    assert {(each["name"], each["digest"]["sha256"]) for each in files} == {
        (file.path, file.sha256) for file in made.plan.files
    }


def test_the_same_image_by_the_same_builder_has_the_same_statement(
    made: AttestedImage, statement: dict[str, Any]
) -> None:
    assert json.dumps(provenance(made, "zstd", BUILDER)) == json.dumps(statement)
    assert provenance(made, "zstd", "https://builder.example/other") != statement


def of_commit(made: AttestedImage, **changes: Any) -> dict[str, Any]:
    metadata = Metadata(
        created=1_700_000_000,
        source="https://host.example/owner/name",
        commit="c" * 40,
        ref="refs/tags/v1",
        given={"team": "a"},
    )
    plan = replace(made.plan, metadata=replace(metadata, **changes))
    definition = provenance(replace(made, plan=plan), "zstd", BUILDER)["predicate"]["buildDefinition"]
    return dict(definition)


def test_it_names_the_repository_and_its_commit(made: AttestedImage) -> None:
    definition = of_commit(made)
    uri = "git+https://host.example/owner/name@refs/tags/v1"
    source, base, *_ = definition["resolvedDependencies"]
    assert source == {"name": "source", "uri": uri, "digest": {"gitCommit": "c" * 40}}
    assert base["name"] == "host/python:3.11"
    asked = definition["externalParameters"]
    assert (asked["source"], asked["created"], asked["labels"]) == (uri, "2023-11-14T22:13:20Z", {"team": "a"})
    assert of_commit(made, source="", ref="")["resolvedDependencies"][0] == {
        "name": "source",
        "digest": {"gitCommit": "c" * 40},
    }


def test_a_changed_tree_is_not_called_its_commit(made: AttestedImage) -> None:
    source = of_commit(made, dirty=True)["resolvedDependencies"][0]
    assert "digest" not in source
    assert source["annotations"] == {"revision": "c" * 40 + "-dirty"}
    assert of_commit(made, dirty=True, source="")["resolvedDependencies"][0]["name"] == "host/python:3.11"


def test_a_run_that_can_be_looked_up_has_its_times(made: AttestedImage) -> None:
    run = Run("https://host.example/runs/7", "2026-12-01T14:00:00Z", "2026-12-01T14:05:00Z")
    details = provenance(made, "zstd", BUILDER, run)["predicate"]["runDetails"]
    assert details == {
        "builder": {"id": BUILDER},
        "metadata": {
            "invocationId": "https://host.example/runs/7",
            "startedOn": "2026-12-01T14:00:00Z",
            "finishedOn": "2026-12-01T14:05:00Z",
        },
    }


@pytest.mark.parametrize(
    ("source", "revision", "locator", "uri"),
    [
        ("hub:owner/name@main", "c0ffee", "a b.bin", "pkg:huggingface/owner/name@c0ffee#a%20b.bin"),
        ("pypi:some-package", "0.1.0", "data/model.bin", "pkg:pypi/some-package@0.1.0#data/model.bin"),
        ("http:https://host.example/w.bin", "", "", "https://host.example/w.bin"),
        ("http:https://host.example/w.zip", "", "in/it.bin", "https://host.example/w.zip#in/it.bin"),
        ("local:checkpoint", "", "second.pth", "local:checkpoint#second.pth"),
        ("sample", "7", "old.pth", "sample:7#old.pth"),
    ],
)
def test_where_a_file_was_published_is_a_uri(source: str, revision: str, locator: str, uri: str) -> None:
    assert source_uri(LockedFile("path", source, revision, locator, 1, "a" * 64, "MIT", True)) == uri
