"""A real ``pip install`` in a real build: through a proxy that wants a login, from an index that wants one, by http alone."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from prebake.checkpoints.store.store import Store
from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import run_to_end
from prebake.docker.images.base_image import Base
from prebake.errors import BuildFailed
from prebake.io import subprocesses
from prebake.render.environment import render_template
from prebake.spec.project import read_project
from prebake.workflow.stages.buildkit import Builder
from tests.support.http_server import QuietHandler, serving_http
from tests.support.repository import ROOT

HOST = "packages.invalid"
PROXY_LOGIN, INDEX_LOGIN = ("agent", "Pr0xyWord"), ("reader", "1ndexWord")
DOCKERFILE = """ARG BASE
{% import "stages/pip.j2" as pip_ with context %}{% set pip = pip_.pip -%}
{% include "stages/base.j2" %}

FROM tools AS packages
{{ pip("/opt/prebake", ["cpu.txt"]) }}
ENV PYTHONPATH=/opt/prebake
"""


def wheel() -> bytes:
    file = io.BytesIO()
    info = "greeting-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("greeting.py", "WORD = 'hello'\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "greeting.py,,\n")
    return file.getvalue()


@dataclass
class Index:
    """A proxy on loopback that answers for the index itself; ``seen`` are the paths that it was asked for."""

    port: int
    wheel: bytes = field(default_factory=wheel)
    seen: list[str] = field(default_factory=list)

    @property
    def proxy(self) -> str:
        return f"http://{':'.join(PROXY_LOGIN)}@127.0.0.1:{self.port}"

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        self.seen.append(path)
        if not path.startswith(f"http://{HOST}/"):
            return 502, {}, b"no such host"
        if headers.get("proxy-authorization") != basic(PROXY_LOGIN):
            return 407, {"Proxy-Authenticate": 'Basic realm="proxy"'}, b""
        if headers.get("authorization") != basic(INDEX_LOGIN):
            return 401, {"WWW-Authenticate": 'Basic realm="index"'}, b""
        if path.endswith("/simple/greeting/"):
            link = b'<a href="/greeting-1.0-py3-none-any.whl">greeting-1.0-py3-none-any.whl</a>'
            return 200, {"Content-Type": "text/html"}, link
        return (200, {}, self.wheel) if path.endswith(".whl") else (404, {}, b"")


def basic(login: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(login).encode()).decode()


@pytest.fixture
def index() -> Iterator[Index]:
    found: list[Index] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, body = found[0].answer(self.path, headers)
            self.send_response(status)
            for name, value in {**more, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    with serving_http(Handler) as port:
        found.append(Index(port))
        yield found[0]


@pytest.fixture
def context(tmp_path: Path, index: Index) -> Path:
    folder = tmp_path / "context"
    (folder / "requirements").mkdir(parents=True)
    sha256 = hashlib.sha256(index.wheel).hexdigest()
    (folder / "requirements/cpu.txt").write_text(f"greeting==1.0 --hash=sha256:{sha256}\n")
    templates = {**read_project(ROOT, "minilm").templates, "pip": DOCKERFILE}
    (folder / "Dockerfile").write_text(render_template(templates, "pip", {"system": []}))
    return folder


@contextmanager
def access(monkeypatch: pytest.MonkeyPatch, folder: Path, **variables: str) -> Iterator[None]:
    """This machine's access to packages and nothing else."""
    netrc = folder / "netrc"
    netrc.write_text(f"machine {HOST} login {INDEX_LOGIN[0]} password {INDEX_LOGIN[1]}\n")
    with monkeypatch.context() as patch:
        for name in (
            "PIP_FIND_LINKS",
            "PIP_EXTRA_INDEX_URL",
            "HTTP_PROXY",
            "https_proxy",
            "HTTPS_PROXY",
            "no_proxy",
            "NO_PROXY",
        ):
            patch.delenv(name, raising=False)
        patch.setenv("PIP_CONFIG_FILE", "/dev/null")
        patch.setenv("NETRC", str(netrc))
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def install(engine: Connection, base: Base, context: Path, tag: str, said: list[str]) -> None:
    builder = Builder(engine, context, base.reference, Store(context.parent / "store").folder, said.append)
    builder.image("packages", tag)


def test_proxy_netrc_and_trusted_host_reach_pip_and_stay_nowhere(
    engine: Connection,
    base: Base,
    tag: str,
    context: Path,
    index: Index,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    settings = {"PIP_INDEX_URL": f"http://{HOST}/simple/", "PIP_TRUSTED_HOST": HOST, "http_proxy": index.proxy}
    with access(monkeypatch, tmp_path, **settings):
        install(engine, base, context, tag, said)
    command = ["python3", "-c", "import greeting; print(greeting.WORD)"]
    assert run_to_end(engine, ContainerSpec(tag, command), seconds=60)[1].strip() == "hello"
    assert any(path.endswith(".whl") for path in index.seen)
    texts = [path.read_text() for path in context.rglob("*") if path.is_file()]
    places = ["\n".join(said), *texts, *image(engine, tag, tmp_path)]
    for secret in (PROXY_LOGIN[1], INDEX_LOGIN[1]):
        assert not [place[:200] for place in places if secret in place]


def test_pip_s_own_proxy_setting_does_as_well(
    engine: Connection,
    base: Base,
    tag: str,
    context: Path,
    index: Index,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        f"[global]\nindex-url = http://{HOST}/simple/\ntrusted-host =\n    {HOST}\nproxy = {index.proxy}\n"
    )
    with access(monkeypatch, tmp_path, PIP_CONFIG_FILE=str(config)):
        install(engine, base, context, tag, [])
    assert any(path.endswith(".whl") for path in index.seen)


def test_a_wrong_login_ends_the_build_and_is_not_printed(
    engine: Connection,
    base: Base,
    tag: str,
    context: Path,
    index: Index,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    wrong = index.proxy.replace("agent:", "agent:Wr0ng")
    settings = {
        "PIP_INDEX_URL": f"http://{HOST}/simple/",
        "PIP_TRUSTED_HOST": HOST,
        "http_proxy": wrong,
        "PIP_RETRIES": "0",
    }
    with access(monkeypatch, tmp_path, **settings), pytest.raises(BuildFailed) as caught:
        install(engine, base, context, tag, said)
    assert "greeting" in caught.value.message
    assert "Wr0ng" not in "\n".join([caught.value.message, *said, *caught.value.output])


def image(engine: Connection, tag: str, folder: Path) -> Iterator[str]:
    """The text of everything in an image: its config with the history, and each file of each layer."""
    archive = folder / "saved.tar"
    subprocesses.run([engine.cli, "save", "--output", archive, tag], env=engine.env)
    yield json.dumps(subprocesses.run([engine.cli, "history", "--no-trunc", tag], env=engine.env).stdout)
    with tarfile.open(archive) as tree:
        for member in tree:
            content = tree.extractfile(member)
            if content and member.size < 2**26:
                yield content.read().decode("latin-1")
