"""``--weights volume``: an image that serves and one that holds /models, of the same blobs as the baked image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from prebake.engine.connection import Connection
from prebake.engine.images import inspect_image
from prebake.oci.reference import parse_reference
from prebake.oci.registry import Repository
from tests.image_files import list_files
from tests.projects import Built
from tests.registry import running_registry

KUBERNETES = "1.34"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with running_registry(tmp_path) as address:
        yield address


def test_the_two_images_are_the_baked_one_in_two(
    engine: Connection, toy: Built, new_tag: Callable[[], str], registry: str
) -> None:
    tag, name = new_tag(), f"{registry}/models/toy:v1"
    words = ("--model", "toy", "--tag", tag, "--weights", "volume", "--push", name)
    before = toy.project.report("toy")
    toy.project.run(*words).expect(0)
    report = toy.project.report("toy")
    assert report["difference"] < 1e-3  # it was started with the volume, and answered
    assert [layer["digest"] for layer in report["layers"]] == [layer["digest"] for layer in before["layers"]]

    serving, weights = list_files(engine, tag), list_files(engine, f"{tag}-weights")
    assert not [path for path in serving if path.startswith("models")]
    held = {path for path in weights if path.split("/")[0] not in ("dev", "etc", "proc", "sys", ".dockerenv")}
    baked = list_files(engine, toy.tag)
    assert {path: weights[path] for path in held} == {
        path: each for path, each in baked.items() if path.startswith("models")
    }

    with closing(Repository(parse_reference(name))) as repository:
        assert repository.resolve("v1") == report["digest"] == inspect_image(engine, tag).digest
        assert repository.resolve("v1-weights") == report["volume"]["digest"]

    deployment, _ = yaml.safe_load_all(toy.project.run("deploy", "--model", "toy").expect(0).stdout)
    kubernetes_validate.validate(deployment, KUBERNETES, strict=True)
    pod = deployment["spec"]["template"]["spec"]
    (volume,) = [each for each in pod["volumes"] if "image" in each]
    assert volume["image"]["reference"] == f"{registry}/models/toy@{report['volume']['digest']}"
    assert {"name": volume["name"], "mountPath": "/models", "subPath": "models", "readOnly": True} in pod["containers"][
        0
    ]["volumeMounts"]
