"""``prebake deploy``: what was pushed, by the digest of the report that has the asked target and checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from prebake.docker.connection import Connection
from prebake.workflow.deploy import NothingToDeploy, NotPushed
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Project, change_spec, clone, reach, read_lock
from tests.support.registries.registry import running_registry
from tests.support.schemas import kubernetes_validate

KUBERNETES = "1.34"
OTHER = f"sha256:{'3' * 64}"


@dataclass(frozen=True)
class Shipped:
    """A clone whose toy was built, proved and pushed; ``name`` is the repository, where it has the tag v1."""

    project: Project
    name: str

    @property
    def report(self) -> dict[str, Any]:
        return self.project.report("toy")

    def deploy(self, *words: str) -> list[dict[str, Any]]:
        return list(yaml.safe_load_all(self.project.run("deploy", "toy", *words).expect(0).stdout))

    def image(self, *words: str) -> str:
        return str(container(self.deploy(*words)[0])["image"])


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.fixture(scope="module")
def shipped(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    folder = tmp_path_factory.mktemp("shipped")
    project = clone(folder / "project", "toy", variables=reach(engine))
    with running_registry(tmp_path_factory.mktemp("registry")) as address, image_name(engine) as tag:
        name = f"{address}/models/toy"
        project.run("build", "toy", "--tag", tag, "--push", f"{name}:v1").expect(0)
        yield Shipped(project, name)


def test_the_objects_are_valid_and_name_what_was_pushed_by_digest(shipped: Shipped) -> None:
    deployment, service = shipped.deploy("--replicas", "3")
    for document in (deployment, service):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    assert container(deployment)["image"] == f"{shipped.name}@{shipped.report['digest']}"
    assert deployment["spec"]["replicas"] == 3


def test_an_image_is_named_by_tag_or_digest_and_always_deployed_by_digest(shipped: Shipped) -> None:
    digest = shipped.report["digest"]
    by_digest = f"{shipped.name}@{digest}"
    assert {shipped.image("--image", each) for each in (f"{shipped.name}:v1", by_digest)} == {by_digest}
    mirror = f"mirror.invalid/models/toy@{digest}"
    assert shipped.image("--image", mirror) == mirror
    told = shipped.project.run("deploy", "toy", "--image", mirror).stderr
    assert f"mirror.invalid/models/toy has the same digest as {shipped.name}:v1" in told


@pytest.mark.parametrize("image", ["{name}:v2", "{name}", "elsewhere.invalid/models/toy:v1", "{name}@" + OTHER])
def test_another_image_than_the_one_that_was_pushed_is_refused(shipped: Shipped, image: str) -> None:
    asked = image.format(name=shipped.name)
    ended = shipped.project.run("deploy", "toy", "--image", asked).expect(NotPushed.exit_code)
    assert ended.stdout == ""
    assert f"--image {asked}" in ended.stderr
    assert f"{shipped.name}:v1 ({shipped.report['digest']})" in ended.stderr


def test_a_report_says_nothing_of_another_target_or_checkpoint(shipped: Shipped) -> None:
    for words in (["--target", "cuda"], ["--checkpoint", "large"]):
        ended = shipped.project.run("deploy", "toy", *words).expect(NothingToDeploy.exit_code)
        assert "There are reports of: cpu small." in ended.stderr
        assert f"--model toy {' '.join(words)} --push" in ended.stderr


def test_weights_of_their_own_are_none_of_an_image_that_holds_them(shipped: Shipped) -> None:
    ended = shipped.project.run("deploy", "toy", "--weights-image", f"{shipped.name}:v1-weights")
    assert "leave --weights-image out" in ended.expect(NotPushed.exit_code).stderr


def test_the_start_budget_is_of_the_bytes_that_the_report_counts(shipped: Shipped) -> None:
    own = shipped.project.root / "build/toy/cpu-small/report.json"
    report = json.loads(own.read_text())
    before = own.read_text()
    try:
        next(layer for layer in report["layers"] if layer["kind"] == "weights")["size"] = 14 * 10**9
        report["ready_seconds"] = 20.0
        own.write_text(json.dumps(report))
        assert container(shipped.deploy()[0])["startupProbe"]["failureThreshold"] in (200 + 280, 200 + 281)
    finally:
        own.write_text(before)


def test_what_was_pushed_stays_so_while_it_is_the_same_image(shipped: Shipped) -> None:
    """``prebake bench`` and ``demo`` build as well, and push nothing."""
    pushed, report = shipped.image(), shipped.report
    shipped.project.run("build", "toy", "--tag", report["image"]).expect(0)
    assert not [name for name in shipped.report["outputs"] if name.startswith("registry:")]
    assert shipped.image() == shipped.image("--image", f"{shipped.name}:v1") == pushed

    model = shipped.project.root / "images/toy/model.py"
    before = model.read_text()
    try:
        model.write_text(before + "\n# changed\n")
        shipped.project.run("build", "toy", "--tag", report["image"]).expect(0)
        assert shipped.report["digest"] != report["digest"]
        refused = shipped.project.run("deploy", "toy").expect(NotPushed.exit_code)
        assert "according to its last report" in refused.stderr
    finally:
        model.write_text(before)
    shipped.project.run("build", "toy", "--tag", report["image"], "--push", f"{shipped.name}:v1").expect(0)
    assert shipped.image() == pushed


def test_each_target_and_checkpoint_keeps_its_report(engine: Connection, shipped: Shipped, tag: str) -> None:
    """Built after the pushed one, and not pushed: what is deployed by default stays the pushed one."""
    project, pushed = shipped.project, shipped.image()

    def add(document: dict[str, Any]) -> None:
        document["checkpoints"]["other"] = document["checkpoints"]["small"]

    change_spec(project, add)
    project.run("lock", "toy", "--checkpoint", "other").expect(0)
    assert read_lock(project).checkpoints.keys() == {"small", "other"}
    project.run("build", "toy", "--checkpoint", "other", "--tag", tag).expect(0)
    reports = {path.parent.name for path in Path(project.root / "build/toy").glob("*/report.json")}
    assert reports == {"cpu-small", "cpu-other"}
    assert project.report("toy")["checkpoint"] == "other"
    assert shipped.image() == pushed
    ended = project.run("deploy", "toy", "--checkpoint", "other").expect(NotPushed.exit_code)
    assert f"delivered it to docker:{tag}" in ended.stderr
    assert "--checkpoint other --push HOST/PATH:TAG" in ended.stderr


def test_a_report_that_was_made_elsewhere_is_taken_where_the_latest_lies(shipped: Shipped, tmp_path: Path) -> None:
    other = clone(tmp_path / "project", "toy")
    ended = other.run("deploy", "toy").expect(NothingToDeploy.exit_code)
    assert "copy that build's report.json to build/toy/" in ended.stderr
    (other.root / "build/toy").mkdir(parents=True)
    report = shipped.project.root / "build/toy/cpu-small/report.json"
    (other.root / "build/toy/report.json").write_bytes(report.read_bytes())
    assert json.loads(report.read_text())["digest"] in other.run("deploy", "toy").expect(0).stdout
