"""Images out of the command: to registries and into layouts, the weights sent once and never again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.images import inspect_image
from prebake.docker.images.pull import pull
from prebake.docker.images.tags import remove_tag
from prebake.oci.reference import parse_reference
from prebake.oci.registry.referrers import list_referrers
from prebake.oci.registry.repository import Repository
from tests.support.commands.projects import Built, Project, change_weights
from tests.support.image_files import list_files
from tests.support.registries.registry import running_registry
from tests.support.tools import oci_tools

PUBLISHED = "first/model.safetensors"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with running_registry(tmp_path) as address:
        yield address


def run(project: Project, *words: str, **variables: str) -> dict[str, Any]:
    return dict(json.loads(project.run("--model", "toy", "--json", *words, **variables).expect(0).stdout))


def sent(report: dict[str, Any], kind: str) -> int:
    (found,) = [each["bytes"] for name, each in report["outputs"].items() if name.startswith(f"{kind}:")]
    return int(found)


def test_a_pushed_image_is_the_one_that_was_proved(engine: Connection, toy: Built, registry: str) -> None:
    name = f"{registry}/models/toy:v1"
    report = run(toy.project, "--tag", toy.tag, "--push", name)
    assert list(report["step_seconds"])[-2:] == ["verify", "registry"]
    with closing(Repository(parse_reference(name))) as repository:
        assert repository.resolve("v1") == report["digest"] == inspect_image(engine, toy.tag).digest
        kinds = {each.artifact_type for each in list_referrers(repository, report["digest"])}
    assert kinds == {
        "application/vnd.cyclonedx+json",
        "application/vnd.in-toto+json",
        "application/vnd.oai.openapi+json",
    }
    pull(engine, name)
    try:
        assert inspect_image(engine, name).digest == report["digest"]
    finally:
        remove_tag(engine, name)
    assert sent(report, "registry") >= sum(layer["blob_size"] for layer in report["layers"])
    assert sent(run(toy.project, "--output", f"registry:{name}"), "registry") == 0


def test_a_change_of_code_needs_no_weights(project: Project, tag: str, registry: str, tmp_path: Path) -> None:
    """The store is emptied, the checkpoint's source gone, the Engine not asked: the lock and the registry are enough."""
    name = f"{registry}/models/toy"
    before = run(project, "--tag", tag, "--output", f"registry:{name}:v1")
    shutil.rmtree(project.root / "checkpoint")
    entrypoint = project.root / "entrypoints" / "processes" / "log.py"
    entrypoint.write_text(entrypoint.read_text() + "\n# changed\n")
    elsewhere = str(tmp_path / "elsewhere")
    after = run(project, "--tag", tag, "--output", f"registry:{name}:v2", PREBAKE_CACHE=elsewhere)
    old, new = ({layer["name"]: layer for layer in report["layers"]} for report in (before, after))
    assert [layer for layer in new if new[layer]["digest"] != old[layer]["digest"]] == ["code"]
    assert sent(after, "registry") < new["code"]["blob_size"] + 20_000  # with config, manifest and what the key became
    assert "fetch" not in after["step_seconds"]
    stored = {path.name for path in Path(elsewhere, "store", "sha256").rglob("*") if path.is_file()}
    assert new[PUBLISHED]["inputs"][PUBLISHED] not in stored


def test_what_the_engine_lacks_comes_from_the_registry_where_the_store_was_emptied(
    engine: Connection, project: Project, tag: str, registry: str, tmp_path: Path
) -> None:
    change_weights(project, seed=hash(tag) & 0xFFFF)  # an Engine that has never seen them
    name = f"{registry}/models/toy:v1"
    pushed = run(project, "--tag", tag, "--output", f"registry:{name}")
    shutil.rmtree(project.root / "checkpoint")
    proved = run(project, "--tag", tag, "--push", name, PREBAKE_CACHE=str(tmp_path / "elsewhere"))
    assert proved["digest"] == pushed["digest"] == inspect_image(engine, tag).digest
    assert sent(proved, "registry") == 0
    (weights,) = [layer["blob_size"] for layer in proved["layers"] if layer["name"] == PUBLISHED]
    assert sent(proved, "docker") >= weights


def test_a_change_of_the_exporter_that_leaves_weights_as_published_sends_no_weights(
    project: Project, tag: str, registry: str
) -> None:
    name = f"{registry}/models/toy"
    before = run(project, "--tag", tag, "--output", f"registry:{name}:v1")
    exporter = project.root / "images" / "toy" / "export.py"
    exporter.write_text(f"{exporter.read_text()}\n# {tag}\n")
    after = run(project, "--tag", tag, "--output", f"registry:{name}:v2")
    old, new = ({layer["name"]: layer["digest"] for layer in report["layers"]} for report in (before, after))
    assert old[PUBLISHED] == new[PUBLISHED]
    assert (
        sent(after, "registry")
        < sum(layer["blob_size"] for layer in after["layers"] if layer["kind"] == "graphs") + 20_000
    )


def test_several_outputs_of_one_build_are_one_image(toy: Built, registry: str, tmp_path: Path) -> None:
    places = [f"oci:{tmp_path / 'layout'}", f"oci:{tmp_path / 'image.tar'}", f"registry:{registry}/toy:v1"]
    report = run(toy.project, "--tag", toy.tag, *(word for place in places for word in ("--output", place)))
    tools, tag = oci_tools(), toy.tag.rpartition(":")[2]
    found = [
        tools.skopeo("inspect", "--format", "{{.Digest}}", *flags, place).strip()
        for flags, place in (
            ((), f"oci:{tmp_path / 'layout'}:{tag}"),
            ((), f"oci-archive:{tmp_path / 'image.tar'}:{tag}"),
            (("--tls-verify=false",), f"docker://{registry}/toy:v1"),
        )
    ]
    assert found == [report["digest"]] * 3
    assert "ready_seconds" not in report


def test_weights_travel_plain_or_packed_as_asked(toy: Built, tmp_path: Path) -> None:
    types = {}
    for compression in ("raw", "zstd", "gzip"):
        folder = tmp_path / compression
        report = run(toy.project, "--tag", toy.tag, "--compression", compression, "--output", f"oci:{folder}")
        manifest = json.loads((folder / "blobs" / "sha256" / report["digest"][7:]).read_text())
        assert manifest["annotations"]["org.opencontainers.image.base.name"] == "python:3.11-slim-bookworm"
        types[compression] = {layer["mediaType"].rpartition(".")[2] for layer in manifest["layers"][1:]}
        assert {layer["compression_reason"] for layer in report["layers"] if layer["kind"] != "base"} == {"asked for"}
    assert types == {"raw": {"tar"}, "zstd": {"tar+zstd"}, "gzip": {"tar+gzip"}}


def test_an_image_packed_by_gzip_is_pulled_verified_and_known_again(
    engine: Connection, toy: Built, registry: str, tmp_path: Path
) -> None:
    """By another builder, too: it makes the same bytes, or takes those that the registry has under the layers' keys."""
    name = f"{registry}/toy"
    words = ("--tag", toy.tag, "--compression", "gzip", "--output")
    report = run(toy.project, *words, f"registry:{name}:v1")
    toy.project.run("verify", f"{name}:v1", "--model", "toy").expect(0)
    pull(engine, f"{name}:v1")
    try:
        assert inspect_image(engine, f"{name}:v1").digest == report["digest"]
        assert list_files(engine, f"{name}:v1") == list_files(engine, toy.tag)
    finally:
        remove_tag(engine, f"{name}:v1")
    again = run(toy.project, *words, f"registry:{name}:v2", PREBAKE_CACHE=str(tmp_path / "elsewhere"))
    assert again["digest"] == report["digest"]
    explained = toy.project.run(
        "explain", "--model", "toy", "--tag", toy.tag, "--compression", "gzip", "--registry", f"{name}:v1", "--json"
    )
    layers = json.loads(explained.expect(0).stdout)["layers"]
    assert {layer["registry"] for layer in layers} == {True}
    assert {layer["digest"] for layer in layers if layer["digest"]} <= {each["digest"] for each in report["layers"]}


def test_a_place_that_is_none_is_refused_before_anything_happens(toy: Built) -> None:
    ended = toy.project.run("--model", "toy", "--output", "floppy:a").expect(16)
    assert "oci:DIR" in ended.stderr
    assert "base:" not in ended.stderr
