"""BUILDX_BUILDER: another BuildKit builds, and the Engine gets the image; what cannot do that is refused."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from prebake.docker.buildkit.builders import find_builder
from prebake.docker.buildkit.buildx import BuildxRequest, build
from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import run_to_end
from prebake.docker.images.base_image import Base
from prebake.errors import BuilderUnfit
from prebake.io import subprocesses

UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def serve(client: socket.socket, engine: str) -> None:
    """Connect a client of BuildKit with the one inside the Engine, which speaks it after an upgrade."""
    inner = socket.socket(socket.AF_UNIX)
    inner.connect(engine)
    inner.sendall(UPGRADE)
    head = b""
    while b"\r\n\r\n" not in head:
        head += inner.recv(1)
    threading.Thread(target=pump, args=(inner, client), daemon=True).start()
    pump(client, inner)


@pytest.fixture
def remote(engine: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A builder of the driver ``remote``: a BuildKit behind a TCP port. It has its builders in a folder of its own."""
    monkeypatch.setenv("BUILDX_CONFIG", str(tmp_path / "buildx"))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    threading.Thread(
                        target=serve, args=(client, engine.host.removeprefix("unix://")), daemon=True
                    ).start()

        threading.Thread(target=accept, daemon=True).start()
        name = "elsewhere"
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        command = (engine.cli, "buildx", "create", "--name", name, "--driver", "remote", address)
        subprocesses.run(command, env={**engine.env, "BUILDX_CONFIG": str(tmp_path / "buildx")})
        yield name


def test_another_builder_builds_on_the_engine_s_base_and_the_engine_gets_the_image(
    engine: Connection, base: Base, tag: str, tmp_path: Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILDX_BUILDER", remote)
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text(
        'FROM nowhere.invalid/base AS base\nFROM base\nRUN echo hello > /word\nCMD ["cat", "/word"]\n'
    )
    contexts: dict[str, Path | str] = {"base": f"docker-image://{base.reference}"}
    said: list[str] = []
    request = BuildxRequest(
        tmp_path / "context", outputs=(f"type=docker,compression=uncompressed,name={tag}",), named_contexts=contexts
    )
    build(engine, request, log=said.append)
    ended, log = run_to_end(engine, ContainerSpec(tag), seconds=60)
    assert (ended.exit_code, log.strip()) == (0, "hello")
    assert f"--builder={remote}" in said[0]
    assert "oci-layout://" in said[0]


def test_no_builder_named_is_the_engine_s_own(engine: Connection) -> None:
    assert find_builder(engine, {}).name == find_builder(engine, {"BUILDX_BUILDER": "default"}).name == "default"


def test_a_builder_that_is_not_there_is_refused_by_name(engine: Connection) -> None:
    with pytest.raises(BuilderUnfit, match="BUILDX_BUILDER is nosuch, and this builder cannot be used") as caught:
        find_builder(engine, {**os.environ, "BUILDX_BUILDER": "nosuch"})
    assert "unset BUILDX_BUILDER" in caught.value.next_action


def test_another_engine_s_own_builder_is_refused(engine: Connection, tmp_path: Path) -> None:
    """It builds into that Engine: the image would be missing here."""
    config = tmp_path / "config"
    config.mkdir()
    if engine.config:
        for path in engine.config.iterdir():
            (shutil.copytree if path.is_dir() else shutil.copy)(path, config / path.name)
    mine = Connection(engine.host, engine.cli, config)
    link = tmp_path / "other.sock"
    link.symlink_to(engine.host.removeprefix("unix://"))
    create = (engine.cli, "context", "create", "other", "--docker", f"host=unix://{link}")
    subprocesses.run(create, env={**mine.env, "DOCKER_CONFIG": str(config)})
    with pytest.raises(BuilderUnfit, match="the builder inside the Engine at unix://") as caught:
        find_builder(mine, {**os.environ, "BUILDX_BUILDER": "other"})
    assert "DOCKER_CONTEXT=other" in caught.value.next_action
