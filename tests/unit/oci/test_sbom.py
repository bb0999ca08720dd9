"""The bill of materials: what CycloneDX 1.6 asks for, and what the locks say."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prebake.oci.provenance import Made
from prebake.oci.sbom import BakedFile, bill_of_materials, licences, read_requirements
from prebake.plan.making import make_plan
from prebake.plan.values import Options
from prebake.spec.project import Project, read_project

ROOT = Path(__file__).parents[3]
DIGEST = "sha256:" + "e" * 64
GRAPH = BakedFile("minilm/model.onnx", "a" * 64, 1234, "graph")


@pytest.fixture(scope="module")
def project() -> Project:
    return read_project(ROOT, "minilm")


@pytest.fixture(scope="module")
def made(project: Project) -> Made:
    plan = make_plan(project, Options())
    return Made(plan, DIGEST, plan.base)


@pytest.fixture(scope="module")
def bill(project: Project, made: Made) -> dict[str, Any]:
    return bill_of_materials(made, project.requirements["cpu"], [GRAPH])


def by_ref(bill: dict[str, Any], ref: str) -> dict[str, Any]:
    (found,) = [each for each in bill["components"] if each["bom-ref"] == ref]
    return dict(found)


def properties(component: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in component["properties"]}


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
    project: Project, made: Made, bill: dict[str, Any]
) -> None:
    again = bill_of_materials(made, project.requirements["cpu"], [GRAPH])
    assert json.dumps(again) == json.dumps(bill)
    other = bill_of_materials(replace(made, digest="sha256:" + "f" * 64), project.requirements["cpu"], [GRAPH])
    assert other["serialNumber"] != bill["serialNumber"]
    assert uuid.UUID(bill["serialNumber"]).version == 5
    assert "timestamp" not in bill["metadata"]


def test_packages_are_those_of_the_lock_with_all_their_hashes(project: Project, bill: dict[str, Any]) -> None:
    text = project.requirements["cpu"]
    packages = [each for each in bill["components"] if each["type"] == "library"]
    assert {f"{each['name']}=={each['version']}" for each in packages} == set(re.findall(r"^\S+==\S+", text, re.M))
    assert sum(len(each["hashes"]) for each in packages) == text.count("--hash=sha256:")
    numpy = next(each for each in packages if each["name"] == "numpy")
    assert numpy["purl"] == f"pkg:pypi/numpy@{numpy['version']}"


def test_requirements_are_read_in_every_form_that_a_lock_has() -> None:
    text = (
        "# a comment\n--only-binary :all:\n"
        f"Python_Multipart[x,y]==0.0.34 ; python_version >= '3.11' \\\n    --hash=sha256:{'1' * 64} \\\n"
        f"    --hash=sha256:{'2' * 64}\n    # via something\n"
        f"torch==2.1.0+cpu --hash=sha256:{'3' * 64}\n"
    )
    first, second = read_requirements(text)
    assert (first.name, first.version, first.hashes) == ("Python_Multipart", "0.0.34", ("1" * 64, "2" * 64))
    assert first.purl == "pkg:pypi/python-multipart@0.0.34"
    assert second.purl == "pkg:pypi/torch@2.1.0%2Bcpu"


def test_weights_say_where_they_lie_and_where_they_came_from(made: Made, bill: dict[str, Any]) -> None:
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
    ("licence", "expected"),
    [
        ("Apache-2.0", [{"license": {"id": "Apache-2.0"}}]),
        ("MIT AND Apache-2.0", [{"expression": "MIT AND Apache-2.0"}]),
        ("(MIT OR CC0-1.0) AND ISC", [{"expression": "(MIT OR CC0-1.0) AND ISC"}]),
        ("LicenseRef-Some-Community", [{"license": {"name": "LicenseRef-Some-Community"}}]),
        ("MIT AND their own", [{"license": {"name": "MIT AND their own"}}]),
        ("", []),
    ],
)
def test_a_licence_is_an_identifier_an_expression_or_a_name(licence: str, expected: list[dict[str, Any]]) -> None:
    assert licences(licence) == expected
