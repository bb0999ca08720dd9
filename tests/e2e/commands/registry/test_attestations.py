"""What is attached to a pushed image: a bill of materials and a statement, held against the image itself."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.base_image import Base
from prebake.oci.blobs.blobs import Blob, Descriptor, Image, read_all
from prebake.oci.blobs.content import BytesContent
from prebake.oci.registry.referrers import list_referrers
from prebake.oci.registry.repository import Repository
from prebake.oci.transfer.download import remote_blob
from prebake.plan.planner import make_plan
from prebake.plan.values import Options
from prebake.spec.project import read_project
from prebake.workflow.delivery.attestations import AttestedBuild as Attested
from prebake.workflow.delivery.attestations import attestations
from tests.support.commands.projects import read_lock
from tests.support.registries.pushed_copies import BUILDER, WEIGHTS, Copy, Pushed, read_files
from tests.support.schemas import JsonStrictValidator, SchemaVersion


@pytest.fixture(scope="module")
def documents(pushed: Pushed, base: Base, repository: Repository) -> dict[str, Any]:
    """Both documents, attached to the image and read back from the registry, by their types."""
    attest(pushed, base, repository)
    found = {}
    for each in list_referrers(repository, pushed.built.report["digest"]):
        manifest = repository.get_manifest(each.descriptor.digest)
        assert manifest is not None
        (layer,) = json.loads(manifest[1])["layers"]
        assert json.loads(manifest[1])["subject"]["digest"] == pushed.built.report["digest"]
        found[each.artifact_type] = json.loads(read_all(remote_blob(repository, Descriptor.read(layer))))
    return found


def attest(pushed: Pushed, base: Base, repository: Repository) -> None:
    for write in attestations(repository, attested(pushed, base, repository)).values():
        write()


def attested(pushed: Pushed, base: Base, repository: Repository) -> Attested:
    project = read_project(pushed.built.project.root, "toy")
    found = repository.get_manifest("v1")
    assert found is not None
    copy = Copy.of(repository)
    config = remote_blob(repository, Descriptor.read(json.loads(found[1])["config"]))
    image = Image(Blob(found[0], BytesContent(found[1])), config, copy.layers)
    return Attested(make_plan(project, Options()), image, image, base, project.requirements["cpu"], "auto", BUILDER)


def test_the_bill_lists_every_package_that_pip_would_see(documents: dict[str, Any], repository: Repository) -> None:
    copy = Copy.of(repository)
    names = read_files(copy.layers[copy.index("dependencies")])
    seen = {
        (re.sub(r"[-_.]+", "-", found[1]).lower(), found[2])
        for found in (re.fullmatch(r"opt/prebake/([^/]+)-([^-/]+)\.dist-info/METADATA", name) for name in names)
        if found
    }
    bill = documents["application/vnd.cyclonedx+json"]
    listed = {
        (re.sub(r"[-_.]+", "-", each["name"]).lower(), each["version"])
        for each in bill["components"]
        if each.get("purl", "").startswith("pkg:pypi/")
    }
    assert seen
    assert listed == seen


def test_the_bill_is_valid_and_has_of_each_wheel_the_hash_that_pip_checked(
    pushed: Pushed, documents: dict[str, Any], repository: Repository
) -> None:
    bill = documents["application/vnd.cyclonedx+json"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    lock = (pushed.built.project.root / "images/toy/requirements/cpu.txt").read_text()
    wheels = {each["name"]: each for each in bill["components"] if each.get("purl", "").startswith("pkg:pypi/")}
    for wheel in wheels.values():
        (found,) = wheel["hashes"]
        assert f"--hash=sha256:{found['content']}" in lock
        assert properties(wheel)["prebake:file"].endswith(".whl")
        assert wheel["licenses"], wheel["name"]
    assert wheels["numpy"]["licenses"][0]["expression"].startswith("BSD-3-Clause")
    copy = Copy.of(repository)
    assert "opt/prebake/prebake-wheels.json" in read_files(copy.layers[copy.index("dependencies")])


def test_the_bill_lists_python_and_every_package_of_the_base(
    documents: dict[str, Any], engine: Connection, base: Base
) -> None:
    """Held against what the base's own container says of its dpkg status."""
    command = ["docker", "run", "--rm", "--network=none", base.reference, "cat", "/var/lib/dpkg/status"]
    done = subprocess.run([engine.cli, *command[1:]], env=dict(engine.env), check=True, capture_output=True, text=True)
    status = {
        (re.findall(r"^Package: (.*)$", entry, re.M)[0], re.findall(r"^Version: (.*)$", entry, re.M)[0])
        for entry in done.stdout.split("\n\n")
        if "Status: install ok installed" in entry
    }
    bill = documents["application/vnd.cyclonedx+json"]
    debian = [each for each in bill["components"] if each.get("purl", "").startswith("pkg:deb/debian/")]
    assert len(status) > 20
    assert {(each["name"], each["version"]) for each in debian} == status
    libc = next(each for each in debian if each["name"] == "libstdc++6")
    assert re.fullmatch(r"pkg:deb/debian/libstdc%2B%2B6@12\.2\.0-\S+\?arch=\w+&distro=debian-12", libc["purl"])
    licensed = [each for each in debian if "licenses" in each]
    assert len(licensed) > len(debian) / 3
    (python,) = [each for each in bill["components"] if each["name"] == "python"]
    assert python["version"].startswith("3.11.")


def properties(component: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in component["properties"]}


def test_the_bill_lists_every_file_below_models_with_its_bytes_digest(
    documents: dict[str, Any], repository: Repository
) -> None:
    placed = {
        f"/{path}": hashlib.sha256(data).hexdigest()
        for layer in Copy.of(repository).layers[-4:]
        for path, data in read_files(layer).items()
        if path.startswith("models/") and path != "models/manifest.json"
    }
    bill = documents["application/vnd.cyclonedx+json"]
    files = [each for each in bill["components"] if each["type"] in ("data", "machine-learning-model")]
    assert {each["bom-ref"]: each["hashes"][0]["content"] for each in files} == placed
    assert f"/{WEIGHTS}" in placed
    (weights,) = [each for each in files if each["bom-ref"] == f"/{WEIGHTS}"]
    assert weights["licenses"] == [{"license": {"id": "CC0-1.0"}}]


def test_the_statement_is_about_the_image_and_names_every_file_of_the_checkpoint(
    pushed: Pushed, documents: dict[str, Any]
) -> None:
    statement = documents["application/vnd.in-toto+json"]
    assert statement["subject"][0]["digest"] == {"sha256": pushed.built.report["digest"].removeprefix("sha256:")}
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    locked = {file.sha256 for file in read_lock(pushed.built.project).checkpoints["small"].files}
    assert locked < {each["digest"]["sha256"] for each in dependencies}
    assert statement["predicate"]["runDetails"]["builder"] == {"id": BUILDER}


def test_attaching_the_same_documents_again_adds_nothing(
    pushed: Pushed, documents: dict[str, Any], base: Base, repository: Repository
) -> None:
    def stored() -> set[Path]:
        return {path for path in (pushed.storage / "blobs").rglob("*") if path.is_file()}

    before, listed = stored(), list_referrers(repository, pushed.built.report["digest"])
    attest(pushed, base, repository)
    assert stored() == before
    assert list_referrers(repository, pushed.built.report["digest"]) == listed
    assert len(listed) == len(documents) == 2
    pushed.verify("v1").expect(0)
