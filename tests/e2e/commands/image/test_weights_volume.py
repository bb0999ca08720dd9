"""``--weights volume``: an image that serves and one that holds /models, of the same blobs as the baked image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pytest
import yaml

from prebake.docker.connection import Connection
from prebake.docker.images.images import inspect_image
from prebake.docker.images.tags import remove_tag
from prebake.oci.blobs.blobs import Descriptor, read_all
from prebake.oci.reference import parse_reference
from prebake.oci.registry.referrers import list_referrers
from prebake.oci.registry.repository import Repository
from prebake.oci.transfer.download import remote_blob
from prebake.workflow.layers.remote_image import ImageDiffers
from tests.support.commands.projects import Built, Project
from tests.support.image_files import list_files
from tests.support.registries.pushed_copies import Copy
from tests.support.registries.registry import running_registry
from tests.support.schemas import kubernetes_validate

KUBERNETES = "1.34"
TAG = "prebake-test/volume:v1"


@dataclass(frozen=True)
class Pair:
    """Both images, in the Engine and at a registry, by the real command; ``before`` is the baked image's report."""

    project: Project
    name: str
    before: dict[str, Any]
    report: dict[str, Any]

    @property
    def weights(self) -> str:
        return f"{self.name}-weights"


@pytest.fixture(scope="module")
def pair(engine: Connection, toy: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_registry(tmp_path_factory.mktemp("registry")) as address:
        name = f"{address}/models/toy:v1"
        before = toy.project.report("toy")
        toy.project.run("--model", "toy", "--tag", TAG, "--weights", "volume", "--push", name).expect(0)
        yield Pair(toy.project, name, before, toy.project.report("toy"))
    for tag in (TAG, f"{TAG}-weights"):
        remove_tag(engine, tag)


@pytest.fixture
def repository(pair: Pair) -> Iterator[Repository]:
    with closing(Repository(parse_reference(pair.name))) as repository:
        yield repository


def test_the_two_images_are_the_baked_one_in_two(engine: Connection, toy: Built, pair: Pair) -> None:
    report = pair.report
    assert report["answer_difference"] < 1e-3  # it was started with the volume, and answered
    assert [layer["digest"] for layer in report["layers"]] == [layer["digest"] for layer in pair.before["layers"]]

    serving, weights = list_files(engine, TAG), list_files(engine, f"{TAG}-weights")
    assert not [path for path in serving if path.startswith("models")]
    held = {path for path in weights if path.split("/")[0] not in ("dev", "etc", "proc", "sys", ".dockerenv")}
    baked = list_files(engine, toy.tag)
    assert {path: weights[path] for path in held} == {
        path: each for path, each in baked.items() if path.startswith("models")
    }


def test_both_are_at_the_registry_under_their_names(engine: Connection, pair: Pair, repository: Repository) -> None:
    assert repository.resolve("v1") == pair.report["digest"] == inspect_image(engine, TAG).digest
    assert repository.resolve("v1-weights") == pair.report["volume"]["digest"]


def test_a_deployment_mounts_the_weights_by_digest(pair: Pair) -> None:
    deployment, _ = yaml.safe_load_all(pair.project.run("deploy", "--model", "toy").expect(0).stdout)
    kubernetes_validate.validate(deployment, KUBERNETES, strict=True)
    pod = deployment["spec"]["template"]["spec"]
    (volume,) = [each for each in pod["volumes"] if "image" in each]
    repository = pair.name.rpartition(":")[0]
    assert volume["image"]["reference"] == f"{repository}@{pair.report['volume']['digest']}"
    (container,) = pod["containers"]
    mount = {"name": volume["name"], "mountPath": "/models", "subPath": "models", "readOnly": True}
    assert mount in container["volumeMounts"]


def test_the_serving_images_bill_lists_what_was_made_for_the_volume(pair: Pair, repository: Repository) -> None:
    (bill,) = [
        each
        for each in list_referrers(repository, pair.report["digest"])
        if each.artifact_type == "application/vnd.cyclonedx+json"
    ]
    manifest = repository.get_manifest(bill.descriptor.digest)
    assert manifest is not None
    (layer,) = json.loads(manifest[1])["layers"]
    document = json.loads(read_all(remote_blob(repository, Descriptor.read(layer))))
    names = {component["name"] for component in document["components"]}
    assert {"first/model.onnx", "second/model.safetensors"} <= {name.removeprefix("/models/") for name in names}


def test_both_are_verified_as_the_one_that_they_are_made_of(pair: Pair) -> None:
    words = ("verify", pair.name, "--model", "toy")
    ended = pair.project.run(*words, "--weights-image", pair.weights).expect(0)
    assert ended.stdout.endswith("verified\n")
    assert f"@{pair.report['volume']['digest']}" in ended.stdout
    alone = pair.project.run(*words).expect(ImageDiffers.exit_code)
    assert "/models/manifest.json: is missing" in alone.stderr


def test_a_volume_that_somebody_had_hands_on_is_not_passed(pair: Pair, repository: Repository) -> None:
    copy = Copy.of(repository, "v1-weights")
    labels = copy.config["config"]["Labels"]
    (key,) = [name for name in labels if name.endswith("compile-key")]
    labels[key] = "0" * 64
    number = copy.index("graphs")
    for listed in (copy.config["rootfs"]["diff_ids"], copy.config["history"]):
        del listed[number]
    replace(copy, layers=copy.layers[:number] + copy.layers[number + 1 :]).push(repository, "other-weights")
    other = pair.name.replace(":v1", ":other-weights")
    ended = pair.project.run("verify", pair.name, "--model", "toy", "--weights-image", other)
    text = ended.expect(ImageDiffers.exit_code).stderr
    assert f"weights' config label {key}: claimed" in text
    assert "second (derived), code" in text
    assert "/models/manifest.json: is missing" in text
