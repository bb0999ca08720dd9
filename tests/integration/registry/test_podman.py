"""podman's credentials, shown to a registry that asks for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from prebake.oci.registry.push import push_image
from tests.integration.registry.test_credentials import SECRET, named
from tests.support.registries.oci_images import image_of
from tests.support.registries.pushes import Opened, layer
from tests.support.registry_servers.front import Front
from tests.support.registry_servers.server import served
from tests.support.registry_servers.tokens import TokenServer


@pytest.fixture
def guarded(front: Front) -> Iterator[TokenServer]:
    """A front that lets in whoever shows a token."""
    tokens = TokenServer("baker", SECRET)
    with served(tokens):
        front.guard = tokens
        yield tokens


def test_podmans_entry_for_the_repository_is_shown_to_the_token_server(
    front: Front, guarded: TokenServer, path: str, opened: Opened, tmp_path: Path
) -> None:
    file = tmp_path / "auth.json"
    auths = {front.address: named("baker", "another-password"), f"{front.address}/{path}": named("baker", SECRET)}
    file.write_text(json.dumps({"auths": auths}))
    repository = opened(front.address, path, environ={"REGISTRY_AUTH_FILE": str(file)})
    push_image(repository, image_of(layer(1)), "v1")
    assert guarded.given
