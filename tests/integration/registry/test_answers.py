"""What a registry answers, or that it does not: waited for, refused at once, or not reached."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from prebake.oci.blobs.blobs import EMPTY, MANIFEST, data_blob, read_all, sha256_digest
from prebake.oci.errors import RegistryError, RegistryUnreachable
from tests.support.registries.oci_images import image_of
from tests.support.registries.pushes import DATA, HASTY, Opened, check_there, layer
from tests.support.registry_servers.front import Fault, Front
from tests.support.registry_servers.keeping import KeepingRegistry
from tests.support.registry_servers.killable import KillableRegistry
from tests.support.registry_servers.server import served


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The environment's proxy for http."""

    def set_proxy(address: str) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("HTTP_PROXY", f"http://{address}")

    return set_proxy


def test_a_proxy_is_taken_to_other_machines(opened: Opened, proxied: Callable[[str], None]) -> None:
    proxy = KeepingRegistry()
    with served(proxy):
        proxied(proxy.address)
        environ = {"DOCKER_CONFIG": "/nowhere", "PREBAKE_INSECURE_REGISTRIES": "registry.example"}
        blob = data_blob(EMPTY, DATA)
        opened("registry.example:5000", "kept", environ=environ).push(blob)
        assert proxy.blobs == {blob.digest: DATA}
        assert all(seen.path.startswith("http://registry.example:5000/v2/") for seen in proxy.seen)


def test_no_proxy_is_taken_to_this_machine(
    standing: KillableRegistry, path: str, opened: Opened, proxied: Callable[[str], None]
) -> None:
    proxied("127.0.0.1:1")
    assert opened(standing.address, path).push(data_blob(EMPTY, DATA)).how == "sent"


def test_a_registry_that_is_not_there_is_named(opened: Opened) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(RegistryUnreachable, match=address) as caught:
        opened(address, "a").has(sha256_digest(b""))
    assert caught.value.exit_code == 61
    assert "HTTPS_PROXY" in caught.value.next_action


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_is_waited_for(front: Front, path: str, opened: Opened, method: str, status: int) -> None:
    waits: list[float] = []
    front.faults.append(Fault(method, status=status, headers={"Retry-After": "150"}))
    repository, blob = opened(front.address, path, replace(HASTY, pause=waits.append)), data_blob(EMPTY, DATA)
    repository.push(blob)
    assert waits == [150.0]
    check_there(repository, blob)


def test_a_date_to_come_back_at_is_kept(front: Front, path: str, opened: Opened) -> None:
    waits: list[float] = []
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    front.faults.append(Fault("GET", "manifests", status=429, headers={"Retry-After": date}))
    repository = opened(front.address, path, replace(HASTY, pause=waits.append))
    assert repository.get_manifest("v1") is None
    assert len(waits) == 1
    assert 0 < waits[0] <= 100


def test_too_long_a_wait_ends_the_push_at_once(front: Front, path: str, opened: Opened) -> None:
    front.faults.append(Fault("POST", status=429, headers={"Retry-After": "86400"}))
    with pytest.raises(RegistryError, match="86400"):
        opened(front.address, path).push(data_blob(EMPTY, DATA))
    assert len(front.requests("POST")) == 1


@pytest.mark.parametrize("status", [400, 405, 415, 501])
def test_what_will_not_pass_is_an_error_at_once(front: Front, path: str, opened: Opened, status: int) -> None:
    front.faults.append(Fault("PUT", status=status))
    with pytest.raises(RegistryError, match=str(status)) as caught:
        opened(front.address, path).push(data_blob(EMPTY, DATA))
    assert caught.value.exit_code == 60
    assert len(front.requests("PUT")) == 1
    assert len(front.requests("DELETE")) == 1, "the upload is cancelled"


def test_the_registrys_own_words_are_in_the_error(standing: KillableRegistry, path: str, opened: Opened) -> None:
    image = image_of(layer(1))
    with pytest.raises(RegistryError, match=r"MANIFEST_BLOB_UNKNOWN: blob unknown to registry"):
        opened(standing.address, path).put_manifest("v1", MANIFEST, read_all(image.manifest))
