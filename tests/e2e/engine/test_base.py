from __future__ import annotations

import io
import json
import tarfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from prebake.bootstrap.base_recipe import Recipe
from prebake.bootstrap.debian_base import ensure_archive
from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import run_to_end
from prebake.docker.images.base_image import Base, ensure_debian_base, resolve_base
from prebake.errors import BaseImageError
from prebake.io import subprocesses
from prebake.io.cache_folder import cache_folder

NOWHERE = "127.0.0.1:1/python:3.11@sha256:" + "0" * 64


def test_the_bootstrapped_base_is_small_and_runs_python_and_pip(engine: Connection, base: Base) -> None:
    assert base.size < 100_000_000
    script = "import ssl, sqlite3, ctypes, lzma, venv; venv.create('/tmp/v', with_pip=True); "
    script += "print(len(ssl.create_default_context().get_ca_certs()))"
    spec = ContainerSpec(base.reference, command=["python3", "-c", script], tmpfs={"/tmp": "exec"})
    end, log = run_to_end(engine, spec, seconds=60)
    assert end.exit_code == 0, log
    assert int(log) > 50


def test_the_bootstrapped_base_holds_nothing_of_this_machine(base: Base) -> None:
    with tarfile.open(ensure_archive(Recipe(), cache_folder())) as archive:
        layer = max(archive, key=lambda member: member.size)
        with tarfile.open(fileobj=archive.extractfile(layer), mode="r:gz") as files:
            members = {member.name: member for member in files}
    assert not {"etc/hostname", "etc/resolv.conf", "etc/machine-id", "etc/apt/sources.list"} & set(members)
    assert {member.mtime for member in members.values()} == {0}
    assert not [name for name, member in members.items() if member.mode & 0o6000 and not member.isdir()]


def test_the_base_is_reused_and_another_engine_would_get_the_same(engine: Connection, base: Base) -> None:
    said: list[str] = []
    assert resolve_base(engine, NOWHERE, "bootstrap", log=said.append) == base
    assert said == []
    with tarfile.open(ensure_archive(Recipe(), cache_folder())) as archive:
        index = json.load(archive.extractfile("index.json") or io.BytesIO())
    assert [manifest["digest"] for manifest in index["manifests"]] == [base.digest]


def test_auto_takes_an_unreachable_reference_to_the_bootstrap(engine: Connection, base: Base) -> None:
    said: list[str] = []
    found = resolve_base(engine, NOWHERE, "auto", log=said.append)
    assert (found.kind, found.reference) == ("bootstrap", base.reference)
    assert NOWHERE in said[0]


def test_a_reference_given_is_taken_or_nothing(engine: Connection, base: Base) -> None:
    assert resolve_base(engine, NOWHERE, base.reference).kind == "pinned"
    with pytest.raises(BaseImageError, match=r"127\.0\.0\.1:1/python"):
        resolve_base(engine, NOWHERE, NOWHERE)


def test_a_pinned_reference_is_pulled_from_its_registry(engine: Connection, base: Base, registry: str) -> None:
    name = f"{registry}/base:test"
    with closing(engine.client()) as client:
        client.images.get(base.reference).tag(name)
        subprocesses.run([engine.cli, "push", "--quiet", name], env=engine.env)
        client.images.remove(name)
        pinned = f"{registry}/base@{base.digest}"
        try:
            assert resolve_base(engine, pinned).kind == "pinned"
        finally:
            client.images.remove(pinned)


def test_a_recipe_that_cannot_be_made_says_why(engine: Connection, tmp_path: Path) -> None:
    with pytest.raises(BaseImageError, match="no-such-suite"):
        ensure_debian_base(engine, replace(Recipe(), suite="no-such-suite"), cache=tmp_path)
    assert not list(tmp_path.glob("base/*.tar"))
    assert not list(tmp_path.glob("base/making-*"))
