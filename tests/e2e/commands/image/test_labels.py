"""What a built image says about itself: the same by both ways of building, and new with each commit while no layer is."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.images import inspect_image
from prebake.oci.blobs.blobs import Descriptor, read_all
from prebake.oci.reference import parse_reference
from prebake.oci.registry.referrers import list_referrers
from prebake.oci.registry.repository import Repository
from prebake.oci.transfer.download import remote_blob
from prebake.plan.image_metadata import LabelsInvalid, SourceDateInvalid
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Built, Project, change_spec, clone, reach
from tests.support.image_files import base_of, list_files
from tests.support.plain_builds import build_plainly
from tests.support.registries.registry import running_registry

OCI = "org.opencontainers.image"
TIME = 1_700_000_000
NOTE = 'it\'s 5 $HOME \\ "quoted" <é> & a=b'
LABELS = ("--label", f"com.example.note={NOTE}", "--label", f"{OCI}.vendor=ACME")


def git(folder: Path, *words: str) -> str:
    identity = {f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {f"GIT_{who}_DATE": f"{TIME} +0000" for who in ("AUTHOR", "COMMITTER")}
    environ = {**os.environ, **identity, **dates}
    done = subprocess.run(["git", "-C", str(folder), *words], env=environ, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def committed(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The toy in a repository with a tag and a remote that has a token in it."""
    project = clone(tmp_path_factory.mktemp("committed") / "project", "toy", variables=reach(engine))
    change_spec(project, lambda document: document.update(title='A "toy" for $1', description="Two\nlines\n"))
    (project.root / ".gitignore").write_text("build\ncheckpoint\ntemporary\nnarration-*\n__pycache__\n")
    git(project.root, "init", "-q")
    git(project.root, "add", "-A")
    git(project.root, "commit", "-q", "-m", "first")
    git(project.root, "tag", "v1.0.0")
    git(project.root, "remote", "add", "origin", "https://user:t0ken@host.example/owner/name.git")
    return project


@pytest.fixture(scope="module")
def built(engine: Connection, committed: Project) -> Iterator[Built]:
    with image_name(engine) as tag:
        ended = committed.run("--model", "toy", "--tag", tag, *LABELS).expect(0)
        yield Built(committed, "toy", tag, ended, committed.report("toy"))


def created(engine: Connection, tag: str) -> str:
    with closing(engine.client()) as client:
        return str(client.images.get(tag).attrs["Created"])


def test_an_image_tells_its_source_its_time_and_the_labels_that_were_given(engine: Connection, built: Built) -> None:
    labels = inspect_image(engine, built.tag).config["Labels"]
    assert {key: labels.get(key) for key in expected(built)} == expected(built)
    assert "t0ken" not in json.dumps(labels)
    assert created(engine, built.tag).startswith("2023-11-14T22:13:20")


def expected(built: Built) -> dict[str, str]:
    return {
        f"{OCI}.title": 'A "toy" for $1',
        f"{OCI}.description": "Two lines",
        f"{OCI}.licenses": "CC0-1.0",
        f"{OCI}.created": "2023-11-14T22:13:20Z",
        f"{OCI}.source": "https://host.example/owner/name",
        f"{OCI}.revision": git(built.project.root, "rev-parse", "v1.0.0"),
        f"{OCI}.version": "v1.0.0",
        f"{OCI}.vendor": "ACME",
        "com.example.note": NOTE,
    }


def test_report_and_plan_say_the_same(built: Built) -> None:
    assert {key: built.report["labels"].get(key) for key in expected(built)} == expected(built)
    assert built.report["created"] == "2023-11-14T22:13:20Z"
    assert built.report["revision"] == expected(built)[f"{OCI}.revision"]
    plan = built.project.run("--model", "toy", "--plan", "--json", *LABELS).expect(0)
    assert json.loads(plan.stdout)["labels"] == built.report["labels"]
    explained = built.project.run("explain", "--model", "toy").expect(0).stdout
    assert f"label   {OCI}.revision={expected(built)[f'{OCI}.revision']}" in explained


def test_a_plain_build_of_the_rendered_folder_says_the_same(
    engine: Connection, built: Built, tmp_path: Path, tag: str
) -> None:
    folder = tmp_path / "rendered"
    ended = built.project.run("--model", "toy", "--tag", built.tag, *LABELS, "--render", str(folder)).expect(0)
    assert f"SOURCE_DATE_EPOCH={TIME} docker buildx build" in ended.stderr
    build_plainly(engine, folder, tag, base_of(engine, built), created=TIME)
    assert inspect_image(engine, tag).config == inspect_image(engine, built.tag).config
    assert created(engine, tag) == created(engine, built.tag)
    assert list_files(engine, tag) == list_files(engine, built.tag)


def test_the_time_of_a_plain_build_changes_no_layer(
    engine: Connection, built: Built, tmp_path: Path, new_tag: Callable[[], str]
) -> None:
    folder, base = tmp_path / "rendered", base_of(engine, built)
    built.project.run("--model", "toy", "--render", str(folder)).expect(0)
    found: list[Any] = []
    for time in (0, TIME):
        tag = new_tag()
        build_plainly(engine, folder, tag, base, fresh=("code", "image"), created=time)
        found.append([layer.diff_id for layer in inspect_image(engine, tag).layers])
    assert found[0] == found[1]


def test_another_commit_changes_the_config_and_no_layer(engine: Connection, built: Built, tag: str) -> None:
    root = built.project.root
    git(root, "commit", "-q", "--allow-empty", "-m", "second")
    try:
        built.project.run("--model", "toy", "--tag", tag, *LABELS).expect(0)
        report = built.project.report("toy")
        revision = git(root, "rev-parse", "HEAD")
    finally:
        git(root, "reset", "-q", "--hard", "v1.0.0")
    assert report["revision"] == revision != built.report["revision"]
    assert f"{OCI}.version" not in report["labels"]
    assert report["config_digest"] != built.report["config_digest"]
    before, after = (inspect_image(engine, each).layers for each in (built.tag, tag))
    assert [layer.diff_id for layer in before] == [layer.diff_id for layer in after]
    again = built.project.run("--model", "toy", "--tag", tag, *LABELS).expect(0)
    assert built.project.report("toy")["digest"] == built.report["digest"], again.stderr


def test_weights_of_their_own_keep_their_digest_from_commit_to_commit(built: Built, tmp_path: Path) -> None:
    digests = []
    for time in ("1000", "2000"):
        place = f"oci:{tmp_path / time}"
        words = ("--model", "toy", "--weights", "volume", "--output", place)
        built.project.run(*words, SOURCE_DATE_EPOCH=time).expect(0)
        digests.append((built.project.report("toy")["digest"], built.project.report("toy")["volume"]["digest"]))
    assert digests[0][0] != digests[1][0]
    assert digests[0][1] == digests[1][1]


def test_the_provenance_of_a_push_from_ci_names_commit_and_run(built: Built, tmp_path: Path) -> None:
    root = built.project.root
    run = {
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_REPOSITORY": "owner/name",
        "GITHUB_SHA": git(root, "rev-parse", "HEAD"),
        "GITHUB_REF": "refs/tags/v1.0.0",
        "GITHUB_REF_NAME": "v1.0.0",
        "GITHUB_REF_TYPE": "tag",
        "GITHUB_RUN_ID": "7",
        "GITHUB_WORKFLOW_REF": "owner/name/.github/workflows/images.yml@refs/tags/v1.0.0",
    }
    with running_registry(tmp_path) as address:
        name = f"{address}/models/toy:v1"
        outputs = ("--output", "docker", "--output", f"registry:{name}", "--tag", built.tag)
        built.project.run("--model", "toy", *outputs, *LABELS, **run).expect(0)
        digest = built.project.report("toy")["digest"]
        built.project.run("verify", name, "--model", "toy").expect(0)
        with closing(Repository(parse_reference(name))) as repository:
            found = documents(repository, digest)
            answer = repository.get_manifest("v1")
            assert answer is not None
    api = found["application/vnd.oai.openapi+json"]
    assert api == json.loads((root / "build/toy/openapi.json").read_text())
    assert {"/generate", "/v2/models/toy/infer"} <= api["paths"].keys()
    statement = found["application/vnd.in-toto+json"]["predicate"]
    source = statement["buildDefinition"]["resolvedDependencies"][0]
    assert source["uri"] == "git+https://github.example/owner/name@refs/tags/v1.0.0"
    assert source["digest"] == {"gitCommit": run["GITHUB_SHA"]}
    details = statement["runDetails"]
    assert details["builder"]["id"] == f"https://github.example/{run['GITHUB_WORKFLOW_REF']}"
    assert details["metadata"]["invocationId"] == "https://github.example/owner/name/actions/runs/7/attempts/1"
    assert details["metadata"]["startedOn"] <= details["metadata"]["finishedOn"]
    assert found["application/vnd.cyclonedx+json"]["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    annotations = json.loads(answer[1])["annotations"]
    assert annotations[f"{OCI}.source"] == "https://github.example/owner/name"
    assert annotations[f"{OCI}.vendor"] == "ACME"
    assert "com.example.note" not in annotations


def documents(repository: Repository, digest: str) -> dict[str, Any]:
    """What is attached to an image, by type."""
    found = {}
    for each in list_referrers(repository, digest):
        manifest = repository.get_manifest(each.descriptor.digest)
        assert manifest is not None
        (layer,) = json.loads(manifest[1])["layers"]
        found[each.artifact_type] = json.loads(read_all(remote_blob(repository, Descriptor.read(layer))))
    return found


def test_what_cannot_be_said_is_refused_before_anything_is_built(built: Built) -> None:
    words = ("--model", "toy", "--label", "a", "--label", f"{OCI}.title=x")
    ended = built.project.run(*words).expect(LabelsInvalid.exit_code)
    assert "--label 'a'" in ended.stderr
    assert f"--label '{OCI}.title=x'" in ended.stderr
    for verb in (("--model", "toy"), ("--model", "toy", "--plan"), ("explain", "--model", "toy")):
        ended = built.project.run(*verb, SOURCE_DATE_EPOCH="now").expect(SourceDateInvalid.exit_code)
        assert "SOURCE_DATE_EPOCH='now'" in ended.stderr


def test_a_bake_file_has_labels_and_time_of_every_image(built: Built, tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    built.project.run("bake-file", str(folder), "--model", "toy", "--label", "team=a").expect(0)
    (target,) = json.loads((folder / "docker-bake.json").read_text())["target"].values()
    assert target["args"] == {"SOURCE_DATE_EPOCH": str(TIME)}
    lines = (folder / target["context"] / "Dockerfile").read_text().splitlines()
    assert 'LABEL team="a"' in lines
    assert f'LABEL {OCI}.version="v1.0.0"' in lines
    built.project.run("bake-file", str(folder), "--model", "toy", "--label", "team").expect(LabelsInvalid.exit_code)
