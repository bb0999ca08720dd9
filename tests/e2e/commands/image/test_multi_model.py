"""Two models in one image, by the real command: with the same folder names, and other weights in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prebake.docker.buildkit.buildx import BuildxRequest, build
from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import copy_out, running
from prebake.docker.images.images import inspect_image
from prebake.io.log import silent
from prebake.measure import client
from prebake.measure.start import START_TIMEOUT_SECONDS, check_answer
from prebake.measure.warmup_request import read_warmups
from prebake.oci.attestations.sbom import CYCLONEDX
from prebake.oci.blobs.blobs import Descriptor, read_all
from prebake.oci.reference import parse_reference
from prebake.oci.registry.referrers import list_referrers
from prebake.oci.registry.repository import Repository
from prebake.oci.transfer.download import remote_blob
from prebake.workflow.benchmark.naive import SeveralModels
from prebake.workflow.deploy import NotPushed
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Built, add_pair, clone, reach
from tests.support.image_files import base_of, list_files
from tests.support.plain_builds import build_plainly
from tests.support.registries.registry import running_registry


@pytest.fixture(scope="module")
def pair(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    project = clone(tmp_path_factory.mktemp("pair") / "project", "toy", variables=reach(engine))
    add_pair(project)
    with image_name(engine) as tag:
        project.run("compile", "--model", "twin", "--keep-all").expect(
            0
        )  # the toy's are looked up by tests that know of none
        ended = project.run("--model", "pair", "--tag", tag, "--starts", "1").expect(0)
        yield Built(project, "pair", tag, ended, project.report("pair"))


@pytest.fixture(scope="module")
def twin(engine: Connection, pair: Built) -> Iterator[Built]:
    """The second model, baked alone: the pair's build made everything of it but its packages and code."""
    with image_name(engine) as tag:
        ended = pair.project.run("--model", "twin", "--tag", tag).expect(0)
        yield Built(pair.project, "twin", tag, ended, pair.project.report("twin"))


def test_both_answer_as_their_own_images_do(engine: Connection, pair: Built, toy: Built, twin: Built) -> None:
    launcher = EngineLauncher(engine)
    warmups = read_warmups(launcher, pair.tag)
    answers = {}
    with launcher.start(pair.tag) as container:
        client.wait_until(container, client.is_ready, START_TIMEOUT_SECONDS, "ready")
        for name, warmup in warmups.items():
            answers[name] = client.post(container.port, warmup.request)
            check_answer(answers[name], warmup, pair.tag, name)
    assert answers["toy"].body != answers["twin"].body
    for name, alone in (("toy", toy), ("twin", twin)):
        with launcher.start(alone.tag) as container:
            client.wait_until(container, client.is_ready, START_TIMEOUT_SECONDS, "ready")
            (own,) = read_warmups(launcher, alone.tag).values()
            assert client.post(container.port, own.request).body == answers[name].body


def test_layers_of_the_first_are_those_of_its_own_image_and_only_what_moved_is_another(
    pair: Built, toy: Built, twin: Built
) -> None:
    layers, kinds = pair.digests("weights", "derived"), ("weights", "derived")
    assert list(layers) == [
        "first/model.safetensors",
        "twin.first/model.safetensors",
        "second (derived)",
        "twin.second (derived)",
    ]
    assert toy.digests(*kinds).items() <= layers.items()
    assert not set(twin.digests(*kinds).values()) & set(layers.values())
    assert pair.digests("dependencies") == toy.digests("dependencies")


def test_what_was_baked_for_both_is_known_for_one(twin: Built) -> None:
    assert "export: in a container" not in twin.ended.stderr
    assert "compile: in a container" not in twin.ended.stderr


def test_the_report_tells_each_start_and_what_is_shared(pair: Built, toy: Built) -> None:
    models = pair.report["models"]
    assert models.keys() == {"toy", "twin"}
    for model in models.values():
        assert 0 < model["ttfi_seconds"] <= 3 * pair.report["ttfi_seconds"]
        assert model["ready_seconds"] > 0
        assert model["answer_difference"] <= 1e-5
        assert len(model["keys"]["compile"]) == 64
    assert "twin: ready after" in pair.ended.stdout
    assert toy.tag in pair.report["shared"]["layers"]["first/model.safetensors"]
    assert "twin.first/model.safetensors" not in pair.report["shared"]["layers"]


def test_each_keeps_its_limits(engine: Connection, pair: Built) -> None:
    """The toy takes bodies of 64 KiB, its twin of 4."""
    launcher = EngineLauncher(engine)
    with launcher.start(pair.tag) as container:
        client.wait_until(container, client.is_ready, START_TIMEOUT_SECONDS, "ready")
        statuses = {
            name: client.post(container.port, client.Request({"values": "1 " * 8 + " " * 8000}, path)).status
            for name, path in ((name, f"/v2/models/{name}/generate") for name in ("toy", "twin"))
        }
    assert statuses == {"toy": 200, "twin": 413}


def test_a_plain_build_of_the_rendered_folder_gives_the_same_image(
    engine: Connection, pair: Built, tmp_path: Path, tag: str
) -> None:
    folder = tmp_path / "rendered"
    pair.project.run("--model", "pair", "--tag", pair.tag, "--render", str(folder)).expect(0)
    assert len(list((folder / "compiled").glob("*"))) == len(pair.report["artifacts"]) == 2
    build_plainly(engine, folder, tag, base_of(engine, pair))
    assert inspect_image(engine, tag).config == inspect_image(engine, pair.tag).config
    ours, plain = list_files(engine, pair.tag), list_files(engine, tag)
    assert ours.keys() ^ plain.keys() == set()
    assert {path: (ours[path], plain[path]) for path in ours if ours[path] != plain[path]} == {}


def test_damaged_weights_of_one_fail_the_start_and_are_named(
    engine: Connection, pair: Built, tmp_path: Path, new_tag: Callable[[], str]
) -> None:
    # The twin's first component is opened from what was compiled of it, and reads none of its weights.
    place, damaged = "/models/first/model.safetensors", new_tag()
    content = bytearray(copy_out(engine, pair.tag, place, tmp_path / "weights").read_bytes())
    content[-1] ^= 1
    (tmp_path / "weights").write_bytes(content)
    (tmp_path / "Dockerfile").write_text(f"FROM {pair.tag}\nCOPY weights {place}\n")
    build(engine, BuildxRequest(tmp_path, outputs=(f"type=docker,name={damaged}",)), log=silent)
    spec = ContainerSpec(damaged, ports=[8000], environment={"PREBAKE_FAILURE_EXIT_DELAY": "0"})
    with running(engine, spec) as container:
        ended = container.wait(60)
        log = container.logs()
    assert ended.exit_code == 73, log
    (fault,) = [json.loads(line) for line in log.splitlines() if '"event": "fault"' in line]
    assert "toy: first/model.safetensors: corrupt" in fault["reason"]


def test_there_is_nothing_to_bench_it_against(pair: Built) -> None:
    ended = pair.project.run("bench", "--model", "pair", "--tag", pair.tag).expect(SeveralModels.exit_code)
    assert "`--model toy` or `--model twin`" in ended.stderr


def test_its_report_is_found_and_it_is_explained_as_any_image(pair: Built) -> None:
    refused = pair.project.run("deploy", "--model", "pair").expect(NotPushed.exit_code)
    assert "was not pushed" in refused.stderr  # its report was found
    words = ("explain", "--model", "pair", "--tag", pair.tag, "--json")
    explained = json.loads(pair.project.run(*words).expect(0).stdout)
    assert explained["changes"]["code"]["layers"] == ["code"]
    assert "twin.second (derived)" in explained["changes"]["export.py"]["layers"]
    assert all(layer["engine"] for layer in explained["layers"])


def test_locking_it_locks_its_models(pair: Built) -> None:
    before = {name: (pair.project.root / "images" / name / "weights.lock").read_bytes() for name in ("toy", "twin")}
    ended = pair.project.run("lock", "--model", "pair").expect(0)
    assert ended.stdout.split() == [f"images/{name}/weights.lock" for name in before]
    for name, content in before.items():
        assert (pair.project.root / "images" / name / "weights.lock").read_bytes() == content
    assert (
        "lock one of its models" in pair.project.run("lock", "--model", "pair", "--checkpoint", "x").expect(13).stderr
    )


def test_at_a_registry_it_is_verified_and_its_bill_lists_the_files_of_both(pair: Built, tmp_path: Path) -> None:
    with running_registry(tmp_path) as address:
        name = f"{address}/models/pair"
        words = ("--model", "pair", "--tag", pair.tag, "--output", f"registry:{name}:v1")
        pair.project.run(*words).expect(0)
        ended = pair.project.run("verify", f"{name}:v1", "--model", "pair").expect(0)
        assert ended.stdout.splitlines()[0] == f"image {name}@{pair.report['digest']}"
        with closing(Repository(parse_reference(f"{name}:v1"))) as repository:
            (bill,) = attached(repository, pair.report["digest"], CYCLONEDX)
    files = {each["name"] for each in bill["components"]}
    assert {"first/model.safetensors", "twin.first/model.safetensors", "twin.second/model.safetensors"} <= files
    assert {"members/toy/manifest.json", "members/twin/warmup/request.json"} <= files


def attached(repository: Repository, digest: str, kind: str) -> Iterator[Any]:
    """What is attached to an image as this type."""
    for each in list_referrers(repository, digest):
        manifest = repository.get_manifest(each.descriptor.digest)
        if each.artifact_type == kind and manifest is not None:
            (layer,) = json.loads(manifest[1])["layers"]
            yield json.loads(read_all(remote_blob(repository, Descriptor.read(layer))))


def test_weights_may_be_a_volume_of_all_models(pair: Built, new_tag: Callable[[], str]) -> None:
    tag = new_tag()
    ended = pair.project.run("--model", "pair", "--tag", tag, "--weights", "volume", "--starts", "1").expect(0)
    assert "all had answered after" in ended.stdout
