"""The files that credentials are read from, and which entry of which of them counts."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from prebake.oci.errors import RegistryDenied
from prebake.oci.http.credentials import Credentials, find_credentials
from prebake.oci.reference import parse_reference

HOST = "registry.example:5000"


def entry(name: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:password".encode()).decode()}


def write(path: Path, **sections: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(sections))
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run"), "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def user(environ: dict[str, str], repository: str = f"{HOST}/team/models/foley") -> str | None:
    reference = parse_reference(repository)
    found = find_credentials(reference.credentials_key, environ, path=reference.path)
    return found.username if found else None


def test_podmans_order_holds(environ: dict[str, str], tmp_path: Path) -> None:
    """From the last place to the first: each covers those before."""
    places = {
        "docker-home": tmp_path / ".docker/config.json",
        "podman-home": tmp_path / ".config/containers/auth.json",
        "runtime": tmp_path / "run/containers/auth.json",
    }
    assert user(environ) is None
    for name, path in places.items():
        write(path, auths={HOST: entry(name)})
        assert user(environ) == name
    environ["REGISTRY_AUTH_FILE"] = str(write(tmp_path / "mine.json", auths={HOST: entry("named")}))
    assert user(environ) == "named"


def test_the_environment_moves_the_files(environ: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "docker/config.json", auths={HOST: entry("docker")})
    assert user({**environ, "DOCKER_CONFIG": str(tmp_path / "docker")}) == "docker"
    write(tmp_path / "xdg/containers/auth.json", auths={HOST: entry("xdg")})
    moved = {"DOCKER_CONFIG": str(tmp_path / "docker"), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert user({**environ, **moved}) == "xdg"


def test_a_file_without_an_entry_leaves_it_to_the_next_unless_it_is_named(
    environ: dict[str, str], tmp_path: Path
) -> None:
    other = write(tmp_path / "run/containers/auth.json", auths={"other.example": entry("other"), HOST: {}})
    write(tmp_path / ".docker/config.json", auths={HOST: entry("docker")})
    assert user(environ) == "docker"
    assert user({**environ, "REGISTRY_AUTH_FILE": str(other)}) is None


def test_the_most_specific_entry_wins(environ: dict[str, str], tmp_path: Path) -> None:
    names = [HOST, f"{HOST}/team", f"{HOST}/team/models", f"{HOST}/team/models/foley"]
    auths: dict[str, object] = {f"{HOST}/other": entry("other"), f"{HOST}/team/models/foley2": entry("foley2")}
    assert user(environ) is None
    for name in names:
        auths[name] = entry(name.replace(":", "."))
        write(tmp_path / "run/containers/auth.json", auths=auths)
        assert user(environ) == name.replace(":", ".")
    assert user(environ, f"{HOST}/team/voices") == f"{HOST}/team".replace(":", ".")
    assert user(environ, f"{HOST}/teams/voices") == HOST.replace(":", ".")


def test_an_entry_of_another_repository_is_not_the_registrys(environ: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "run/containers/auth.json", auths={f"{HOST}/other": entry("other")})
    assert user(environ) is None


@pytest.mark.parametrize(
    "key",
    ["docker.io", "https://index.docker.io/v1/", "index.docker.io", "docker.io/library", "docker.io/library/foley"],
)
def test_dockers_registry_is_known_by_each_of_its_names(environ: dict[str, str], tmp_path: Path, key: str) -> None:
    write(tmp_path / "run/containers/auth.json", auths={key: entry("hub")})
    assert user(environ, "foley") == "hub"


def test_helpers_are_asked_for_the_registry_and_tokens_are_found(environ: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "docker-credential-vault"
    program.write_text('#!/bin/sh\nread host\necho "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"of $host\\"}"\n')
    program.chmod(0o755)
    write(
        tmp_path / "run/containers/auth.json",
        auths={f"{HOST}/team": {"auth": "", "identitytoken": "of the team"}},
        credHelpers={HOST: "vault"},
    )
    assert find_credentials(HOST, environ, path="others/foley") == Credentials(identity_token=f"of {HOST}")
    assert find_credentials(HOST, environ, path="team/foley") == Credentials(identity_token="of the team")


@pytest.mark.parametrize("content", ['{"auths": ', "[]", '{"auths": []}', '{"credHelpers": "x"}', "\0\1", ""])
@pytest.mark.parametrize("place", ["run/containers/auth.json", ".config/containers/auth.json", "named.json"])
def test_a_malformed_file_is_named(environ: dict[str, str], tmp_path: Path, content: str, place: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    named = {"REGISTRY_AUTH_FILE": str(path)} if place == "named.json" else {}
    with pytest.raises(RegistryDenied) as caught:
        user({**environ, **named})
    assert str(path) in caught.value.message


def test_an_empty_file_of_dockers_has_no_entry(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / ".docker/config.json"
    path.parent.mkdir()
    path.write_text("\n")
    assert user(environ) is None


def test_a_helper_that_answers_with_nothing_knows_nobody(environ: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "docker-credential-vault"
    program.write_text('#!/bin/sh\necho "{\\"ServerURL\\": \\"\\", \\"Username\\": \\"\\", \\"Secret\\": \\"\\"}"\n')
    program.chmod(0o755)
    path = write(tmp_path / ".docker/config.json", credsStore="vault")
    assert user(environ) is None
    write(path, credsStore="vault", auths={HOST: entry("file")})
    assert user(environ) == "file"


def test_a_malformed_entry_is_named_with_its_key(environ: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "run/containers/auth.json", auths={f"{HOST}/team": {"auth": "é"}})
    with pytest.raises(RegistryDenied) as caught:
        user(environ)
    assert (str(path) in caught.value.message, f"{HOST}/team" in caught.value.message) == (True, True)


def test_a_named_file_that_is_not_there_is_told(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(RegistryDenied, match="REGISTRY_AUTH_FILE"):
        user({**environ, "REGISTRY_AUTH_FILE": str(tmp_path / "nowhere.json")})
