"""What is pushed, by whom, and under which tag; and the baseline at a real registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prebake.oci.reference import parse_reference
from prebake.oci.registry.repository import Repository
from tests.integration.action.conftest import Stage
from tests.support.action.runs import pull_request
from tests.support.action.stand_in import DIGEST, digest_of, index_of, push
from tests.support.registries.registry import running_registry
from tests.support.registry_servers.front import Fault, Front
from tests.support.registry_servers.server import served


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with running_registry(tmp_path) as address:
        yield f"{address}/acme"


def tagged(registry: str, tag: str) -> str | None:
    """The digest that a tag of the toy's repository names."""
    with closing(Repository(parse_reference(f"{registry}/toy"))) as repository:
        return repository.resolve(tag)


def push_variables(stage: Stage, branch: str = "main") -> dict[str, str]:
    commit = stage.git("rev-parse", "HEAD")
    stage.github.heads.setdefault(branch, commit)
    return {
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF": f"refs/heads/{branch}",
        "GITHUB_REF_NAME": branch,
        "GITHUB_SHA": commit,
    }


def pushes(stage: Stage) -> list[list[str]]:
    """The words about a push of each call that pushes."""
    found = [[word for word in call if word.startswith(("--push=", "--by-digest"))] for call in stage.calls]
    return [words for words in found if words]


def test_a_push_of_main_moves_its_tag_and_is_attested(stage: Stage, registry: str) -> None:
    variables = {**push_variables(stage), "ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9"}
    ran = stage.run({"before": "0" * 40}, variables, registry=registry, push="true")
    assert ran.failed == {}
    assert f"::notice title=There is no baseline yet::{registry}/toy:main does not exist." in ran.log
    assert pushes(stage) == [[f"--push={registry}/toy", "--by-digest"]]
    assert tagged(registry, "main") == DIGEST
    assert ran.outputs["image"] == f"{registry}/toy@{DIGEST}"
    attested = ran.used["actions/attest-build-provenance"]
    assert (attested["subject-name"], attested["subject-digest"]) == (f"{registry}/toy", DIGEST)
    assert "Attested by GitHub" in ran.summary


def test_the_registrys_image_of_the_base_branch_is_the_baseline(stage: Stage, registry: str) -> None:
    tag = "release-1.0-05c07dbf"
    push(f"{registry}/toy:{tag}", index_of(1))
    ran = stage.run(pull_request(), {"GITHUB_BASE_REF": "release/1.0"}, registry=registry)
    assert ran.failed == {}
    assert f"--baseline={registry}/toy:{tag}" in stage.bench
    assert f"--cache-from={registry}/toy" in stage.calls[1]
    assert pushes(stage) == []


def test_without_an_image_the_base_commit_is_built(stage: Stage, registry: str, request_event: dict[str, Any]) -> None:
    stage.run(request_event, {"GITHUB_BASE_REF": "main"}, registry=registry)
    assert f"--baseline={stage.git('rev-parse', 'HEAD')}" in stage.bench


def test_a_registry_that_cannot_be_asked_is_no_first_run(stage: Stage) -> None:
    ran = stage.run(baseline="127.0.0.1:9/acme/toy:main")
    assert ran.failed == {"Find the baseline": 61}
    assert "::error title=The baseline cannot be asked for::" in ran.log


def test_a_newer_commit_moves_the_tag(stage: Stage, registry: str) -> None:
    push(f"{registry}/toy:main", index_of(1))
    variables = push_variables(stage)
    stage.github.heads["main"] = "f" * 40
    ran = stage.run({}, variables, registry=registry, push="true")
    assert ran.outputs["image"] == f"{registry}/toy@{DIGEST}"
    assert tagged(registry, DIGEST) == DIGEST
    assert tagged(registry, "main") == digest_of(index_of(1))
    assert "actions/attest-build-provenance" not in ran.used  # the job may not ask for an identity


@pytest.mark.parametrize(("branch", "other"), [("@main", "main"), ("a/b", "a-b")])
def test_no_branch_takes_the_tag_of_another(stage: Stage, registry: str, branch: str, other: str) -> None:
    stage.run({}, push_variables(stage, branch), registry=registry, push="true")
    assert tagged(registry, other) is None
    with closing(Repository(parse_reference(f"{registry}/toy"))) as repository:
        (tag,) = json.loads(repository.read("tags/list", (200,), 1 << 16).body)["tags"]
    assert tag.startswith(f"{other}-")


def test_a_fork_pushes_nothing_and_is_not_attested(stage: Stage, registry: str) -> None:
    event = pull_request(fork=True, sha=stage.git("rev-parse", "HEAD"))
    ran = stage.run(event, {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9"}, registry=registry, push="true")
    assert ran.failed == {}
    assert pushes(stage) == []
    assert "actions/attest-build-provenance" not in ran.used


def test_another_image_than_the_judged_one_gets_no_tag(stage: Stage, registry: str) -> None:
    push(f"{registry}/toy:main", index_of(1))
    stage.behave(bench={"verdict": "pass"}, push={"number": 2})
    ran = stage.run({}, push_variables(stage), registry=registry, push="true")
    assert ran.failed == {"Push the image": 45}
    assert f"{digest_of(index_of(2))} was pushed, and {DIGEST} was built and compared before" in ran.log
    assert tagged(registry, "main") == digest_of(index_of(1))
    assert "attest-build-provenance" not in str(ran.used)


def test_a_registry_that_refuses_the_tag_makes_the_check_red(stage: Stage, registry: str) -> None:
    address, _, path = registry.partition("/")
    front = Front(address)
    front.faults.append(Fault("PUT", "manifests/main", status=403))
    with served(front):
        behind = f"{front.address}/{path}"
        ran = stage.run({}, push_variables(stage), registry=behind, push="true")
    assert ran.failed == {"Push the image": 62}
    assert "::error title=The tag was not moved::" in ran.log
    assert ran.outputs["image"] == f"{behind}/toy@{DIGEST}"
    assert tagged(registry, "main") is None
    assert "attest-build-provenance" not in str(ran.used)


def test_a_push_without_a_registry_is_refused(stage: Stage) -> None:
    assert stage.run(push="true").failed == {"Check the inputs": 2}
