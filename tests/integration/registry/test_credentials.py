"""Tokens and passwords: shown to the registry that asks for them, and to nobody else."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from prebake.errors import PrebakeError
from prebake.oci.blobs.blobs import EMPTY, data_blob, sha256_digest
from prebake.oci.errors import RegistryDenied
from prebake.oci.registry.push import push_image
from tests.support.registries.oci_images import image_of
from tests.support.registries.pushes import (
    CHUNK_BYTES,
    CHUNKS,
    DATA,
    Opened,
    Watched,
    bytes_of,
    check_there,
    layer,
    pulled,
)
from tests.support.registry_servers.front import Fault, Front
from tests.support.registry_servers.keeping import KeepingRegistry
from tests.support.registry_servers.killable import killable_registry
from tests.support.registry_servers.server import served
from tests.support.registry_servers.tokens import TokenServer

SECRET = "a-password-of-mine"
BCRYPT = "$2y$05$abcdefghijklmnopqrstuuRLVIu3MxPpmOoWPjn.D.gmU.bHIW3hi"  # of SECRET


def configured(folder: Path, entry: dict[str, str], address: str) -> dict[str, str]:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"auths": {address: entry}}))
    return {"DOCKER_CONFIG": str(folder)}


def named(name: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:{password}".encode()).decode()}


ENTRIES = {"name": named("baker", SECRET), "identity": {**named("baker", ""), "identitytoken": "an-identity-token"}}


@pytest.fixture
def guarded(front: Front) -> Iterator[TokenServer]:
    """A front that lets in whoever shows a token."""
    tokens = TokenServer("baker", SECRET, identity_token="an-identity-token")
    with served(tokens):
        front.guard = tokens
        yield tokens


@pytest.fixture
def shown(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[..., str]:
    """All that somebody could see: both outputs, the log, what was said, and errors with their traces."""
    caplog.set_level("DEBUG")

    def show(said: Sequence[str], *errors: PrebakeError) -> str:
        traces = [line for error in errors for line in traceback.format_exception(error)]
        return "\n".join([*capfd.readouterr(), caplog.text, *said, *traces, *(each.next_action for each in errors)])

    return show


@pytest.mark.parametrize("kind", ENTRIES)
def test_a_registry_that_wants_tokens_gets_them_from_its_server(
    front: Front,
    guarded: TokenServer,
    path: str,
    opened: Opened,
    tmp_path: Path,
    shown: Callable[..., str],
    kind: str,
) -> None:
    said: list[str] = []
    environ = configured(tmp_path / "docker", ENTRIES[kind], front.address)
    repository, image = opened(front.address, path, environ=environ, log=said.append), image_of(layer(1), layer(2))
    push_image(repository, image, "v1", mount_from=[f"{path}-other"])
    assert pulled(repository, "v1") == bytes_of(image)
    scopes = [scope for asked in guarded.asked for each in asked["scope"] for scope in each.split()]
    assert f"repository:{path}:pull,push" in scopes
    assert f"repository:{path}-other:pull" in scopes
    assert {service for asked in guarded.asked for service in asked["service"]} == {"the registry, here"}
    assert len(guarded.given) == 3, "one to push, one to mount, one to pull"
    text = shown(said)
    assert not [each for each in (*guarded.given, SECRET, "an-identity-token") if each in text]


def test_a_token_server_that_moved_is_followed(
    front: Front, guarded: TokenServer, path: str, opened: Opened, tmp_path: Path
) -> None:
    guarded.moved = True
    repository = opened(front.address, path, environ=configured(tmp_path / "docker", ENTRIES["name"], front.address))
    push_image(repository, image_of(layer(1)), "v1")
    assert guarded.given


def test_a_token_refused_between_chunks_is_replaced(
    front: Front, guarded: TokenServer, path: str, opened: Opened, tmp_path: Path
) -> None:
    environ = configured(tmp_path / "docker", ENTRIES["name"], front.address)
    repository = opened(front.address, path, environ=environ, upload=CHUNKS)
    blob = replace(data_blob(EMPTY, DATA), content=Watched(DATA, CHUNK_BYTES, guarded.valid.clear))
    sent = repository.push(blob)
    assert len(guarded.given) == 2
    assert len(front.requests("POST", "uploads")) == 1, "it goes on with the same upload"
    assert sent.bytes <= len(DATA) + CHUNK_BYTES
    check_there(repository, blob)


def test_a_token_refused_in_the_middle_of_a_blob_is_replaced_and_the_blob_begun_again(
    front: Front, guarded: TokenServer, path: str, opened: Opened, tmp_path: Path
) -> None:
    front.faults.append(Fault("PUT", "/blobs/", status=401, headers={"WWW-Authenticate": guarded.challenge}))
    environ = configured(tmp_path / "docker", ENTRIES["name"], front.address)
    repository, blob = opened(front.address, path, environ=environ), data_blob(EMPTY, DATA)
    assert repository.push(blob).bytes == 2 * len(DATA)
    assert [len(front.requests(method, "uploads")) for method in ("POST", "PUT", "DELETE")] == [2, 2, 1]
    assert len(guarded.given) == 2
    check_there(repository, blob)


def test_a_token_is_not_shown_longer_than_it_lasts(front: Front, path: str, opened: Opened, tmp_path: Path) -> None:
    tokens = TokenServer("baker", SECRET, expires_in=0.000001)
    with served(tokens):
        front.guard = tokens
        environ = configured(tmp_path / "docker", ENTRIES["name"], front.address)
        repository = opened(front.address, path, environ=environ)
        assert not repository.has(sha256_digest(b"1"))
        assert not repository.has(sha256_digest(b"2"))
        assert [seen.headers.get("authorization") for seen in front.seen] == [
            None,
            f"Bearer {tokens.given[-2]}",
            f"Bearer {tokens.given[-1]}",
        ]


def test_wrong_credentials_are_told_and_not_shown(
    front: Front, guarded: TokenServer, path: str, opened: Opened, tmp_path: Path, shown: Callable[..., str]
) -> None:
    said: list[str] = []
    wrong = "another-password"
    environ = configured(tmp_path / "docker", named("baker", wrong), front.address)
    with pytest.raises(RegistryDenied, match="no such user") as caught:
        push_image(opened(front.address, path, environ=environ, log=said.append), image_of(layer(1)), "v1")
    assert caught.value.exit_code == 62
    assert f"docker login {front.address}" in caught.value.next_action
    text = shown(said, caught.value)
    assert wrong not in text
    assert named("baker", wrong)["auth"] not in text


def test_a_token_that_does_not_help_is_told_and_not_shown(
    front: Front, guarded: TokenServer, path: str, opened: Opened, tmp_path: Path, shown: Callable[..., str]
) -> None:
    guarded.useless = True
    environ = configured(tmp_path / "docker", ENTRIES["name"], front.address)
    with pytest.raises(RegistryDenied, match="401") as caught:
        opened(front.address, path, environ=environ).push(layer(1))
    text = shown([], caught.value)
    assert guarded.given
    assert not [each for each in (*guarded.given, SECRET) if each in text]


def test_a_registry_that_wants_a_password_gets_it(
    tmp_path: Path, path: str, opened: Opened, shown: Callable[..., str]
) -> None:
    users = tmp_path / "users"
    users.write_text(f"baker:{BCRYPT}\n")
    with killable_registry(tmp_path, {"htpasswd": {"realm": "tests", "path": str(users)}}) as registry:
        said: list[str] = []
        environ = configured(tmp_path / "docker", named("baker", SECRET), registry.address)
        repository, image = opened(registry.address, path, environ=environ, log=said.append), image_of(layer(1))
        push_image(repository, image, "v1")
        assert pulled(repository, "v1") == bytes_of(image)
        nobody = opened(registry.address, path)
        with pytest.raises(RegistryDenied, match="no configuration file has them") as without:
            nobody.get_manifest("v1")
        wrong = configured(tmp_path / "wrong", named("baker", "another-password"), registry.address)
        with pytest.raises(RegistryDenied) as caught:
            opened(registry.address, path, environ=wrong).get_manifest("v1")
        assert f"docker login {registry.address}" in caught.value.next_action
        text = shown(said, without.value, caught.value)
        assert not [each for each in (SECRET, "another-password", named("baker", SECRET)["auth"]) if each in text]


@pytest.mark.parametrize(("status", "place"), [(202, "0?signed=yes"), (307, "")], ids=["Location", "redirect"])
def test_credentials_do_not_follow_an_upload_to_another_host(
    front: Front, guarded: TokenServer, path: str, opened: Opened, tmp_path: Path, status: int, place: str
) -> None:
    elsewhere = KeepingRegistry()
    with served(elsewhere):
        elsewhere.uploads["0"] = bytearray()
        there = {"Location": f"http://{elsewhere.address}/v2/kept/blobs/uploads/{place}"}
        environ = configured(tmp_path / "docker", ENTRIES["name"], front.address)
        repository = opened(front.address, path, environ=environ)
        repository.has(sha256_digest(b"1"))
        front.faults.append(Fault("POST", status=status, headers=there))
        repository.push(data_blob(EMPTY, DATA))
        assert len(elsewhere.blobs) == 1
        assert [seen for seen in elsewhere.seen if "authorization" in seen.headers] == []
