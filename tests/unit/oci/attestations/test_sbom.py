"""The bill of materials: what CycloneDX 1.6 asks for, and what the locks say."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import replace
from typing import Any

import pytest

from prebake.oci.attestations.package import Package
from prebake.oci.attestations.provenance import AttestedImage
from prebake.oci.attestations.sbom import BakedFile, bill_of_materials, licenses
from prebake.plan.image_metadata import Metadata
from prebake.plan.planner import make_plan
from prebake.plan.values import Options
from prebake.spec.project import Project, read_project
from tests.support.repository import ROOT
from tests.support.schemas import JsonStrictValidator, SchemaVersion

DIGEST = "sha256:" + "e" * 64
PACKAGES = [
    Package("python", "3.11.9", "pkg:generic/python@3.11.9", "PSF-2.0"),
    Package("numpy", "2.1.0", "pkg:pypi/numpy@2.1.0", "BSD-3-Clause AND 0BSD", "numpy-2.1.0.whl", "9" * 64, "/opt/x"),
    Package("odd", "1", "pkg:pypi/odd@1", "ask its author"),
    Package("bare", "1", "pkg:deb/debian/bare@1?arch=all"),
]
GRAPH = BakedFile("minilm/model.onnx", "a" * 64, 1234, "graph")


@pytest.fixture(scope="module")
def project() -> Project:
    return read_project(ROOT, "minilm")


@pytest.fixture(scope="module")
def made(project: Project) -> AttestedImage:
    plan = make_plan(project, Options())
    return AttestedImage(plan, DIGEST, plan.base)


@pytest.fixture(scope="module")
def bill(made: AttestedImage) -> dict[str, Any]:
    return bill_of_materials(made, PACKAGES, [GRAPH])


def by_ref(bill: dict[str, Any], ref: str) -> dict[str, Any]:
    (found,) = [each for each in bill["components"] if each["bom-ref"] == ref]
    return dict(found)


def properties(component: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in component["properties"]}


def test_it_is_valid_by_the_schema_that_cyclonedx_publishes(bill: dict[str, Any]) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(bill)) is None
    wrong = {**bill, "components": [{**bill["components"][0], "licenses": [{"license": {"id": "Apache2"}}]}]}
    assert validator.validate_str(json.dumps(wrong)) is not None
    wrong = {**bill, "externalReferences": [{"type": "website", "url": "https://a b"}]}  # no IRI
    assert validator.validate_str(json.dumps(wrong)) is not None


def test_it_has_every_field_that_cyclonedx_requires_in_its_form(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    model = bill["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "minilm", "published")
    for component in (*bill["components"], model):
        assert component["type"] in {"library", "machine-learning-model", "data", "container"}
        assert component["name"]
        for each in component.get("hashes", []):
            assert each["alg"] == "SHA-256"
            assert re.fullmatch(r"[0-9a-f]{64}", each["content"])
        for each in component.get("licenses", []):
            assert each.keys() in ({"license"}, {"expression"})


def test_references_are_unique_and_the_model_depends_on_all(bill: dict[str, Any]) -> None:
    references = [each["bom-ref"] for each in bill["components"]]
    root = bill["metadata"]["component"]["bom-ref"]
    assert len({*references, root}) == len(references) + 1
    assert bill["dependencies"] == [{"ref": root, "dependsOn": references}]


def test_the_same_image_has_the_same_bill_and_another_image_another_number(
    made: AttestedImage, bill: dict[str, Any]
) -> None:
    again = bill_of_materials(made, PACKAGES, [GRAPH])
    assert json.dumps(again) == json.dumps(bill)
    other = bill_of_materials(replace(made, digest="sha256:" + "f" * 64), PACKAGES, [GRAPH])
    assert other["serialNumber"] != bill["serialNumber"]
    assert uuid.UUID(bill["serialNumber"]).version == 5
    assert "timestamp" not in bill["metadata"]  # nothing told when the image was made
    plan = replace(made.plan, metadata=Metadata(created=1_700_000_000))
    timed = bill_of_materials(replace(made, plan=plan), PACKAGES, [GRAPH])
    assert timed["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"


def test_a_package_has_the_hash_of_the_one_archive_that_it_came_from(bill: dict[str, Any]) -> None:
    packages = [each for each in bill["components"] if each["type"] == "library"]
    assert [each["bom-ref"] for each in packages] == [package.purl for package in PACKAGES]
    numpy, bare = by_ref(bill, "pkg:pypi/numpy@2.1.0"), by_ref(bill, "pkg:deb/debian/bare@1?arch=all")
    assert numpy["hashes"] == [{"alg": "SHA-256", "content": "9" * 64}]
    assert numpy["licenses"] == [{"expression": "BSD-3-Clause AND 0BSD"}]
    assert properties(numpy) == {"prebake:file": "numpy-2.1.0.whl", "prebake:path": "/opt/x"}
    assert by_ref(bill, "pkg:pypi/odd@1")["licenses"] == [{"license": {"name": "ask its author"}}]
    assert bare.keys() == {"type", "bom-ref", "name", "version", "purl"}


def test_weights_say_where_they_lie_and_where_they_came_from(made: AttestedImage, bill: dict[str, Any]) -> None:
    for file in made.plan.shipped:
        component = by_ref(bill, f"/models/{file.path}")
        assert component["hashes"] == [{"alg": "SHA-256", "content": file.sha256}]
        assert component["licenses"] == [{"expression": "MIT AND Apache-2.0"}]
        found = properties(component)
        assert (found["prebake:path"], found["prebake:size"]) == (f"/models/{file.path}", str(file.size))
        assert (found["prebake:source"], found["prebake:revision"]) == (file.source, file.revision)
    assert by_ref(bill, "/models/minilm/model.safetensors")["type"] == "machine-learning-model"
    assert by_ref(bill, "/models/minilm/tokenizer.json")["type"] == "data"
    unshipped = {f"/models/{file.path}" for file in made.plan.files if not file.ship}
    assert unshipped.isdisjoint(each["bom-ref"] for each in bill["components"])


def test_what_the_build_made_is_listed_as_that(bill: dict[str, Any]) -> None:
    graph = by_ref(bill, "/models/minilm/model.onnx")
    assert graph["hashes"][0]["content"] == GRAPH.sha256
    assert properties(graph)["prebake:origin"] == "graph"


@pytest.mark.parametrize(
    ("license", "expected"),
    [
        ("Apache-2.0", [{"license": {"id": "Apache-2.0"}}]),
        ("MIT AND Apache-2.0", [{"expression": "MIT AND Apache-2.0"}]),
        ("(MIT OR CC0-1.0) AND ISC", [{"expression": "(MIT OR CC0-1.0) AND ISC"}]),
        ("LicenseRef-Own AND MIT", [{"expression": "LicenseRef-Own AND MIT"}]),
        ("LicenseRef-Some-Community", [{"license": {"name": "LicenseRef-Some-Community"}}]),
        ("MIT AND their own", [{"license": {"name": "MIT AND their own"}}]),
        ("", []),
    ],
)
def test_a_license_is_an_identifier_an_expression_or_a_name(license: str, expected: list[dict[str, Any]]) -> None:
    assert licenses(license) == expected
