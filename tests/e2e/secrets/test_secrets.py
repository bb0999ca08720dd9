"""No secret that a person hands over is in the image, its documents, the output of a command, or what a container writes."""

from __future__ import annotations

import io
import json
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from prebake.docker.connection import Connection
from prebake.docker.containers.containers import RunningContainer, running
from prebake.measure import client
from prebake.workflow.start_check.launcher import EngineLauncher, StartedServer
from tests.support.checkpoint_servers.hubserver import REPOSITORY, HubServer, serve_hub
from tests.support.checkpoint_servers.s3server import S3Server, serve_s3
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Ended, Project, change_spec, clone, reach
from tests.support.registries.registry import running_registry
from tests.support.registry_servers.front import Front
from tests.support.registry_servers.server import served
from tests.support.registry_servers.tokens import TokenServer
from tests.support.secrets.credentials import USER, find_values, give_credentials, make_login, make_marks
from tests.support.secrets.marks import Mark
from tests.support.secrets.scanner import scan_bytes, scan_folder

GRAPH, DERIVED = "first/model.safetensors", "second.pth"


@dataclass(frozen=True)
class Build:
    """A toy whose weights come from a hub and a bucket, built and pushed to a registry that wants a login. ``folders`` have all
    that the commands wrote, ``used`` are the names of the secrets that servers were shown."""

    marks: Mapping[str, Mark]
    tag: str
    ended: Mapping[str, Ended]
    folders: Mapping[str, Path]
    used: frozenset[str]


@pytest.fixture(scope="module")
def built(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    folder, marks = tmp_path_factory.mktemp("secrets"), make_marks()
    registry = folder / "registry"
    registry.mkdir()
    with (
        running_registry(registry) as address,
        serve_hub() as hub,
        serve_s3() as bucket,
        image_name(engine) as tag,
    ):
        front, tokens = Front(address), TokenServer(USER, marks["registry"].value)
        with served(tokens), served(front):
            front.guard = tokens
            given = give_credentials(folder / "given", marks, front.address, engine.config)
            project = make_project(engine, folder, hub, bucket, given)
            hub.token = marks["hub"].value
            ended = run_commands(project, hub, tokens, tag, f"{front.address}/secret/toy:v1")
            seen = [each.headers for each in (*bucket.front.seen, *tokens.seen)] + [each.headers for each in hub.seen]
            headers = "\n".join(str(dict(each)) for each in seen)
            folders = {"project": project.root, "cache": folder / "cache", "registry": registry}
            yield Build(marks, tag, ended, folders, frozenset(find_values(marks.values(), headers)))


def make_project(
    engine: Connection, folder: Path, hub: HubServer, bucket: S3Server, given: Mapping[str, str]
) -> Project:
    project = clone(folder / "project", "toy", variables=reach(engine))
    checkpoint = project.root / "checkpoint"
    hub.publish(GRAPH, (checkpoint / GRAPH).read_bytes(), large=True)
    bucket.put(DERIVED, (checkpoint / DERIVED).read_bytes())
    shutil.rmtree(checkpoint)
    sources = [
        {"from": "hub", "repository": REPOSITORY, "revision": "main", "files": [GRAPH], "ship": [GRAPH]},
        {"from": "s3", "url": bucket.url, "files": [DERIVED]},
    ]
    change_spec(project, lambda document: document["checkpoints"]["small"].update(sources=sources))
    servers = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(folder / "hub"),
        "AWS_ENDPOINT_URL": f"http://{bucket.front.address}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PREBAKE_CACHE": str(folder / "cache"),
        "PREBAKE_ERROR_FILE": str(project.root / "error.json"),
    }
    return replace(project, variables={**project.variables, **given, **servers})


def run_commands(project: Project, hub: HubServer, tokens: TokenServer, tag: str, name: str) -> dict[str, Ended]:
    """Those that succeed, and two that a server refuses."""

    def run(*words: str, **variables: str) -> Ended:
        with project.started(*words, **variables) as child:  # a process of its own: libraries read variables at import
            return child.end(600)

    refused = {"a hub that refuses": run("lock", "--model", "toy", HF_TOKEN=project.variables["HF_TOKEN"] + "x")}
    build = ("--model", "toy", "--tag", tag, "--push", name)
    refused |= {"lock": run("lock", "--model", "toy").expect(0), "build": run(*build, PREBAKE_STARTS="1").expect(0)}
    tokens.useless = True
    refused["a registry that refuses"] = run(*build[:-1], name.replace("v1", "v2"), PREBAKE_STARTS="0")
    return refused


def test_the_secrets_were_used(built: Build) -> None:
    """Otherwise no other test of this module means anything."""
    assert {"hub", "registry", "s3-key", "s3-session"} <= built.used
    assert {name for name, ended in built.ended.items() if ended.code} == {
        "a hub that refuses",
        "a registry that refuses",
    }


def test_no_output_of_a_command_has_one(built: Build) -> None:
    for name, ended in built.ended.items():
        assert scan_bytes(ended.stdout.encode(), f"stdout of {name}") == []
        assert scan_bytes(ended.stderr.encode(), f"stderr of {name}") == []


@pytest.mark.parametrize("folder", ["project", "cache", "registry"])
def test_no_file_that_a_command_wrote_has_one(built: Build, folder: str) -> None:
    """In the project: lock, report and error file. In the registry: each layer, the config with history and labels, the bill of
    materials and the provenance."""
    assert [path for path in built.folders[folder].rglob("*") if path.is_file()]
    assert scan_folder(built.folders[folder]) == []


def test_the_engine_s_image_has_none(engine: Connection, built: Build) -> None:
    with closing(engine.client()) as api:
        image = api.images.get(built.tag)
        assert scan_bytes(json.dumps([image.attrs, image.history()]).encode()) == []
        content = io.BytesIO(b"".join(image.save()))
    assert scan_bytes(content.getvalue(), "the saved image") == []


def test_what_a_container_writes_and_answers_has_none(engine: Connection, built: Build) -> None:
    marks = built.marks
    variables = {
        "PREBAKE_ADMIN_TOKEN": marks["admin"].value,
        "PREBAKE_ADMIN_TOKN": marks["misspelt"].value,
        "PREBAKE_ACCESS_LOG": "all",
        "HF_TOKEN": marks["hub"].value,
        "AWS_SECRET_ACCESS_KEY": marks["s3-secret"].value,
        "https_proxy": make_login("proxy.invalid:3128", marks["proxy"]),
    }
    spec = replace(EngineLauncher(engine, environment=variables).container(built.tag), read_only=False, tmpfs={})
    with running(engine, spec) as container:
        server = StartedServer(container)
        client.wait_until(server, client.is_ready, 120, "ready")
        answers = ask_with_secrets(server.port, marks)
        written = read_written(engine, container)
        container.stop(30)
        log = container.logs()
    assert scan_bytes(answers, "answers") == []
    assert scan_bytes(log.encode(), "the log") == []
    for path, archive in written.items():
        assert scan_bytes(archive, path) == []
    assert "PREBAKE_ADMIN_TOKN" in log  # the name is told, its value is not
    assert log.count('"event": "request"') > 15


def ask_with_secrets(port: int, marks: Mapping[str, Mark]) -> bytes:
    """Requests with secrets in their heads, many of which the server refuses. All answers in one."""
    admin, wrong = f"Bearer {marks['admin'].value}", f"Bearer {marks['unknown'].value}"
    found: list[bytes] = []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:

        def ask(method: str, path: str, status: int, **arguments: Any) -> None:
            reply = http.request(method, path, **arguments)
            assert reply.status_code == status, (path, reply.text)
            found.append(str(dict(reply.headers)).encode() + reply.content)

        for name in ("Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "Referer"):
            ask("GET", "/health", 200, headers={name: wrong})
            ask("POST", "/generate", 415, headers={name: wrong}, content=b"x")
            ask("POST", "/generate", 422, headers={name: wrong}, json={"no such field": 1})
        for action in ("unload", "load"):
            ask("POST", f"/v2/repository/models/toy/{action}", 401, headers={"Authorization": wrong})
            ask("POST", f"/v2/repository/models/toy/{action}", 200, headers={"Authorization": admin})
        ask("GET", "/none", 404, params={"token": marks["unknown"].value})
        for path in ("/", "/startup", "/metrics", "/openapi.json", "/v2", "/v2/models/toy/config"):
            ask("GET", path, 200, headers={"Authorization": admin})
    return b"\n".join([*found, *(send_raw(port, head) for head in malformed_heads(marks["unknown"].value))])


def malformed_heads(secret: str) -> list[bytes]:
    header = f"Authorization: Bearer {secret}\r\n"
    return [
        f"GET / HTTP/1.1\r\nHost: x\r\n{text}\r\n".encode()
        for text in (
            f"Authorization : Bearer {secret}\r\n",
            header + header,
            header + " folded\r\n",
            header + "\0: x\r\n",
        )
    ] + [
        f"GET http://user:{secret.replace('/', '')}@x/health HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        f"GET / HTTP/9.9\r\n{header}\r\n".encode(),
        f"GET / HTTP/1.1\r\nHost: x\r\n{header}Cookie: {'c' * 20_000}\r\n\r\n".encode(),
        f"POST /generate HTTP/1.1\r\nHost: x\r\n{header}Content-Length: x\r\n\r\n".encode(),
    ]


def send_raw(port: int, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(content)
        return connection.recv(65536)


def read_written(engine: Connection, container: RunningContainer) -> dict[str, bytes]:
    """The files that the container changed or added, as tars by path."""
    with closing(engine.client()) as api:
        found = api.containers.get(container.id)
        paths = [str(change["Path"]) for change in found.diff() or [] if change["Kind"] in (0, 1)]
        return {path: b"".join(found.get_archive(path)[0]) for path in paths}
