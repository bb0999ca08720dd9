"""Credentials where Docker keeps them, and what registries ask for."""

from __future__ import annotations

import base64
import json
import os
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest

from prebake.oci.errors import RegistryDenied
from prebake.oci.http.challenges import Challenge, read_challenges
from prebake.oci.http.credentials import Credentials, find_credentials
from prebake.oci.reference import DEFAULT_CREDENTIALS

HOST = "registry.example:5000"
SECRET = "correct-horse-battery"


def written(folder: Path, config: object) -> dict[str, str]:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return {"DOCKER_CONFIG": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}


def basic(name: str, password: str) -> str:
    return base64.b64encode(f"{name}:{password}".encode()).decode()


def helper(folder: Path, name: str, script: str) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="a registry"', [Challenge("basic", {"realm": "a registry"})]),
        (
            'Bearer realm="https://auth.example/token",service="a, b",scope="repository:a:pull,push"',
            [
                Challenge(
                    "bearer",
                    {"realm": "https://auth.example/token", "service": "a, b", "scope": "repository:a:pull,push"},
                )
            ],
        ),
        (
            r'Negotiate, BASIC realm="a \"b\"" , Bearer Realm=plain , error="invalid_token"',
            [
                Challenge("negotiate"),
                Challenge("basic", {"realm": 'a "b"'}),
                Challenge("bearer", {"realm": "plain", "error": "invalid_token"}),
            ],
        ),
        ("", []),
        ('="', []),
    ],
)
def test_challenges_are_read_whole(header: str, expected: list[Challenge]) -> None:
    assert read_challenges([header]) == expected


def test_every_header_may_hold_challenges() -> None:
    assert [each.scheme for each in read_challenges(["Basic realm=a", "Bearer realm=b"])] == ["basic", "bearer"]


def test_without_a_configuration_there_are_no_credentials(tmp_path: Path) -> None:
    assert find_credentials(HOST, {"DOCKER_CONFIG": str(tmp_path / "none")}) is None
    assert find_credentials(HOST, written(tmp_path, {})) is None


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"https://{HOST}/v2/"])
def test_a_name_and_a_password_are_found_under_the_host(tmp_path: Path, key: str) -> None:
    environ = written(tmp_path, {"auths": {"other.example": {"auth": "!"}, key: {"auth": basic("baker", SECRET)}}})
    assert find_credentials(HOST, environ) == Credentials("baker", SECRET)


def test_the_default_registrys_credentials_are_found(tmp_path: Path) -> None:
    environ = written(tmp_path, {"auths": {DEFAULT_CREDENTIALS: {"auth": basic("baker", "a:b")}}})
    assert find_credentials(DEFAULT_CREDENTIALS, environ) == Credentials("baker", "a:b")


def test_an_identity_token_goes_before_a_password(tmp_path: Path) -> None:
    entry = {"auth": basic("baker", ""), "identitytoken": SECRET}
    found = find_credentials(HOST, written(tmp_path, {"auths": {HOST: entry}}))
    assert found == Credentials(identity_token=SECRET)


def test_a_helper_set_for_the_host_is_asked_before_the_store(tmp_path: Path) -> None:
    helper(tmp_path, "one", f'read host; echo "{{\\"Username\\": \\"$1 $host\\", \\"Secret\\": \\"{SECRET}\\"}}"')
    helper(tmp_path, "two", 'echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"identity\\"}"')
    environ = written(tmp_path, {"credHelpers": {HOST: "one"}, "credsStore": "two", "auths": {HOST: {}}})
    assert find_credentials(HOST, environ) == Credentials(f"get {HOST}", SECRET)
    assert find_credentials("other.example", environ) == Credentials(identity_token="identity")


def test_where_the_store_has_none_the_file_may(tmp_path: Path) -> None:
    helper(tmp_path, "empty", "echo credentials not found in native keychain; exit 1")
    environ = written(tmp_path, {"credsStore": "empty", "auths": {HOST: {"auth": basic("baker", SECRET)}}})
    assert find_credentials(HOST, environ) == Credentials("baker", SECRET)
    assert find_credentials("other.example", environ) is None


UNUSABLE: dict[str, tuple[object, str]] = {
    "no JSON": (f'{{"auths": {{"{HOST}": {{"auth": "{SECRET}" oops', "cannot be read"),
    "a list": (["auths"], "not a Docker configuration"),
    "a list within": ({"auths": [HOST]}, "not a Docker configuration"),
    "no base64": ({"auths": {HOST: {"auth": f"{SECRET}é"}}}, "cannot be read"),
    "no text": ({"auths": {HOST: {"auth": "/////w=="}}}, "cannot be read"),
    "no entry": ({"auths": {HOST: SECRET}}, "cannot be read"),
    "no helper": ({"credsStore": "absent"}, "docker-credential-absent"),
    "a failing helper": ({"credsStore": "failing"}, "ended with code 3"),
    "a talking helper": ({"credsStore": "talking"}, "its output is not that of a credential helper"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_cannot_be_used_is_named_and_no_secret_shown(
    tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    helper(tmp_path, "failing", f"echo {SECRET}; echo {SECRET} >&2; exit 3")
    helper(tmp_path, "talking", f"echo the secret is {SECRET}")
    config, reason = UNUSABLE[case]
    said: list[str] = []
    with pytest.raises(RegistryDenied, match=reason) as caught:
        find_credentials(HOST, written(tmp_path, config), log=said.append)
    shown = "".join([*traceback.format_exception(caught.value), *said, *capfd.readouterr(), caught.value.next_action])
    assert SECRET not in shown
    assert "docker login" in caught.value.next_action


@pytest.mark.parametrize("entry", [{"auth": basic("baker", SECRET)}, {"identitytoken": SECRET}])
def test_credentials_do_not_show_their_secrets(tmp_path: Path, entry: Mapping[str, str]) -> None:
    found = find_credentials(HOST, written(tmp_path, {"auths": {HOST: entry}}))
    assert found is not None
    assert SECRET not in repr(found)
    assert SECRET not in str(found)
