"""Baked images as running services: pytest-docker with a real Docker Compose, and a real HTTP client."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pytest_docker.plugin import get_docker_services

from prebake.bootstrap import debian_packages
from prebake.docker.connection import Connection
from prebake.io import subprocesses
from prebake.io.cache_folder import cache_folder
from prebake.io.file_lock import hold_lock
from prebake.io.log import log_to_stderr
from prebake.io.subprocesses import CommandFailed
from tests.support.repository import ROOT

FILE = ROOT / "tests/support/compose.yml"
PATIENCE = 60.0
_SUITES = ("forky", "trixie")  # as the private Engine's: the newest that runs here


@dataclass(frozen=True)
class Service:
    """A service that answers. ``project`` is its name at Compose."""

    engine: Connection
    image: str
    project: str
    client: httpx.Client
    grpc_port: int = 0
    """0 if the image does not speak gRPC."""

    @property
    def port(self) -> int:
        return int(self.client.base_url.port or 0)

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def post(self, **arguments: Any) -> httpx.Response:
        return self.client.post("/generate", **arguments)

    def refusal(self, status: int, **arguments: Any) -> tuple[str, dict[str, str]]:
        """The message and the fields of an answer that has to be this refusal."""
        response = self.post(**arguments)
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/json"
        error = response.json()["error"]
        return error["message"], error["fields"]

    def metric(self, name: str) -> float:
        lines = [line.rpartition(" ") for line in self.get("/metrics").text.splitlines()]
        return next((float(value) for key, _, value in lines if key == name), 0.0)

    def is_ready(self) -> bool:
        try:
            return self.get("/v2/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def run(self, code: str) -> Any:
        """What Python code prints in the container, as JSON."""
        with closing(self.engine.client()) as client:
            (container,) = client.containers.list(filters={"label": f"com.docker.compose.project={self.project}"})
            result = container.exec_run(["python3", "-c", code])
        output: Any = result.output  # the library types it as a stream or not; here it is never one
        assert result.exit_code == 0, output.decode()
        return json.loads(output)


@contextmanager
def serving(engine: Connection, image: str, *, speaks_grpc: bool = False) -> Iterator[Service]:
    """``image`` as a service, until the block is left."""
    project = f"prebake-test-{uuid.uuid4().hex[:12]}"
    variables = {**engine_variables(engine), "PREBAKE_TEST_IMAGE": image}
    command = shlex.join(["env", *(f"{name}={value}" for name, value in variables.items()), *compose_command(engine)])
    with get_docker_services(command, str(FILE), project, ["up --detach"], ["down --volumes --timeout 10"]) as services:
        address = f"http://127.0.0.1:{services.port_for('model', 8000)}"
        with httpx.Client(base_url=address, timeout=120, trust_env=False) as client:
            grpc_port = services.port_for("model", 8001) if speaks_grpc else 0
            service = Service(engine, image, project, client, grpc_port)
            services.wait_until_responsive(check=service.is_ready, timeout=PATIENCE, pause=0.05)
            yield service


def engine_variables(engine: Connection) -> dict[str, str]:
    return {"DOCKER_HOST": engine.host, **({"DOCKER_CONFIG": str(engine.config)} if engine.config else {})}


def compose_command(engine: Connection) -> list[str]:
    """The docker command's compose plugin, else Debian's, unpacked once into the cache and not installed."""
    if subprocesses.run([engine.cli, "compose", "version"], env=engine.env, check=False, timeout=20).exit_code == 0:
        return [str(engine.cli), "compose"]
    home = cache_folder() / "tests" / "docker-compose"
    program = home / "usr" / "libexec" / "docker" / "cli-plugins" / "docker-compose"
    with hold_lock(home.with_suffix(".lock")):
        for suite in _SUITES:
            if not _runs(program):
                debian_packages.unpack(["docker-compose"], home, log_to_stderr, suite=suite)
    return [str(program)]


def _runs(program: Path) -> bool:
    try:
        return program.exists() and subprocesses.run([program, "version"], timeout=20).exit_code == 0
    except CommandFailed:
        return False
