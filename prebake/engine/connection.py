"""Finding the Docker Engine, and what is known about the one found."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker import DockerClient

from prebake import process
from prebake.disk import free_bytes
from prebake.engine import private
from prebake.errors import EngineUnavailable
from prebake.process import Narrator, narrate

DEFAULT_HOST = "unix:///var/run/docker.sock"
_PLUGINS = (  # where the docker command looks for its plugins, beside its configuration's own folder
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
_spoken: dict[str, str] = {}
"""The API version agreed on with each Engine, by its address: a client that is not told asks for it first."""

_CHOICES = ("DOCKER_CONTEXT", "BUILDX_BUILDER", "DOCKER_DEFAULT_PLATFORM")


@dataclass(frozen=True)
class Connection:
    """An Engine that answered: how to reach it by its API and by the docker command.

    ``config`` is the docker command's configuration folder, None for its default one.
    """

    host: str
    cli: Path
    config: Path | None = None

    @property
    def env(self) -> dict[str, str]:
        """The environment for the docker command, in which it talks to this Engine and uses its built-in builder."""
        kept = {name: value for name, value in os.environ.items() if name not in _CHOICES}
        config = {"DOCKER_CONFIG": str(self.config)} if self.config else {}
        return {**kept, **config, "DOCKER_HOST": self.host}

    def client(self, *, seconds: float = 120) -> DockerClient:
        """A new client of the Engine's API, to be closed after use; ``seconds`` bounds each call."""
        version = _spoken.get(self.host)
        if self.host == os.environ.get("DOCKER_HOST"):  # with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH
            client = docker.from_env(version=version, timeout=int(seconds))
        else:
            client = DockerClient(base_url=self.host, version=version, timeout=int(seconds))
        _spoken[self.host] = client.api.api_version
        return client

    @property
    def local(self) -> bool:
        """Whether the Engine is on this machine, by the kind of its address."""
        return self.host.startswith("unix://")


@dataclass(frozen=True)
class EngineFacts:
    """What a plan and a report want to know. ``free`` is in bytes, None where the Engine's disk is not this
    machine's."""

    version: str
    api_version: str
    operating_system: str
    architecture: str
    containerd_store: bool
    buildx: str
    buildkit: str
    root: Path
    free: int | None
    processors: int
    memory: int
    nvidia: bool


@dataclass(frozen=True)
class Storage:
    """Where an Engine keeps its images. ``free`` is in bytes, None where that disk is not this machine's."""

    root: Path
    free: int | None


def stage_user(connection: Connection) -> str:
    """The user as whom a container writes this process's files, with the Engine's users not remapped: this process's own.
    In a rootless Engine that is the container's root, since all other numbers are of its owner's subordinate users."""
    with closing(connection.client()) as client:
        rootless = "name=rootless" in (client.info().get("SecurityOptions") or ())
    return "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"


def storage_of(connection: Connection) -> Storage:
    """One question to the Engine, where ``describe`` also runs the docker command."""
    with closing(connection.client()) as client:
        return _storage(connection, client.info())


def find_engine(environ: Mapping[str, str] = os.environ, *, private_home: Path | None = None) -> Connection:
    """The Engine of DOCKER_HOST, else of the docker command's context, else on the default socket, else on a rootless
    Engine's, else our private one.

    Raises EngineUnavailable where none answers, or where the docker command or buildx is missing.
    """
    own = private.at(private_home)
    for host in _hosts(environ, own.host):
        if private.answers(host):
            return _with_command(host, own, environ)
        if host == environ.get("DOCKER_HOST"):  # asked for by name: another one would be a surprise
            break
    tried = environ.get("DOCKER_HOST") or ", ".join(dict.fromkeys(_hosts(environ, own.host)))
    raise EngineUnavailable(
        f"no Docker Engine answers at {tried}",
        next_action="start Docker, or set DOCKER_HOST right, or run `prebake engine up` for a private one",
    )


def ensure_engine(say: Narrator = narrate, environ: Mapping[str, str] = os.environ) -> Connection:
    """The Engine that answers, else a private one, started now; one asked for by DOCKER_HOST is not replaced."""
    try:
        return find_engine(environ)
    except EngineUnavailable:
        if environ.get("DOCKER_HOST"):
            raise
        private.up(say=say)
        return find_engine(environ)


def describe(connection: Connection) -> EngineFacts:
    """Ask the Engine about itself."""
    client = connection.client()
    try:
        info, version = client.info(), client.version()
    finally:
        client.close()
    storage = _storage(connection, info)
    status = {str(name): str(value) for name, value in info.get("DriverStatus") or []}
    return EngineFacts(
        version=version["Version"],
        api_version=version["ApiVersion"],
        operating_system=info["OperatingSystem"],
        architecture={"x86_64": "amd64", "aarch64": "arm64"}.get(info["Architecture"], info["Architecture"]),
        containerd_store=status.get("driver-type", "").startswith("io.containerd.snapshotter"),
        buildx=_buildx_version(connection),
        buildkit=_buildkit_version(connection),
        root=storage.root,
        free=storage.free,
        processors=info["NCPU"],
        memory=info["MemTotal"],
        nvidia="nvidia" in (info.get("Runtimes") or {}) or bool(info.get("DiscoveredDevices")),
    )


def _storage(connection: Connection, info: Mapping[str, Any]) -> Storage:
    root = Path(info["DockerRootDir"])
    return Storage(root, free_bytes(root) if connection.local and root.exists() else None)


def _hosts(environ: Mapping[str, str], own: str) -> list[str]:
    if environ.get("DOCKER_HOST"):
        return [environ["DOCKER_HOST"]]
    context = _context_host(environ)
    runtime = environ.get("XDG_RUNTIME_DIR")
    rootless = [f"unix://{runtime}/docker.sock"] if runtime else []  # where dockerd-rootless.sh puts it
    return [*([context] if context else []), DEFAULT_HOST, *rootless, own]


def _context_host(environ: Mapping[str, str]) -> str | None:
    cli = shutil.which("docker", path=environ.get("PATH"))
    if cli is None or not (environ.get("DOCKER_CONTEXT") or _configuration(_folder(environ)).get("currentContext")):
        return None  # or the default one
    command = [cli, "context", "inspect", "--format", "{{json .Endpoints.docker.Host}}"]
    found = process.run(command, env=environ, check=False, timeout=10)
    return str(json.loads(found.stdout)) if found.exit_code == 0 and found.stdout.strip() else None


def _with_command(host: str, own: private.PrivateEngine, environ: Mapping[str, str]) -> Connection:
    """The docker command that has buildx: the one on PATH, else the private engine's."""
    cli = shutil.which("docker", path=environ.get("PATH"))
    config = environ.get("DOCKER_CONFIG")
    candidates = [Connection(host, Path(cli), Path(config) if config else None)] if cli else []
    if own.cli.exists():
        candidates.append(Connection(host, own.cli, own.config))
    for connection in candidates:
        if _has_buildx(connection):
            return connection
    what = "has no buildx" if candidates else "is missing"
    raise EngineUnavailable(
        f"an Engine answers at {host}, but the docker command {what}",
        next_action="install the docker command with the buildx plugin (Debian: docker-cli and docker-buildx)",
    )


def _has_buildx(connection: Connection) -> bool:
    """By the plugin's file, since running it takes longer than all else that is asked before a build; else by running it."""
    folder = connection.config or _folder(os.environ)
    more = _configuration(folder).get("cliPluginsExtraDirs") or ()
    places = (Path(place, "docker-buildx") for place in (folder / "cli-plugins", *more, *_PLUGINS))
    return any(os.access(place, os.X_OK) for place in places) or bool(_buildx_version(connection))


def _folder(environ: Mapping[str, str]) -> Path:
    """The docker command's configuration folder."""
    return Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or Path.home(), ".docker"))


def _configuration(folder: Path) -> Mapping[str, Any]:
    """What is in ``config.json``; nothing where it cannot be read, which the docker command will say itself."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _buildx_version(connection: Connection) -> str:
    """Such as ``0.29.1``; empty where there is none."""
    found = process.run([connection.cli, "buildx", "version"], env=connection.env, check=False, timeout=20)
    words = found.stdout.split()
    return words[1].lstrip("v") if found.exit_code == 0 and len(words) > 1 else ""


def _buildkit_version(connection: Connection) -> str:
    """Of the Engine's built-in builder, such as ``v0.25.1``; empty where it does not say."""
    found = process.run([connection.cli, "buildx", "inspect", "default"], env=connection.env, check=False, timeout=20)
    for line in found.stdout.splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "buildkit version":
            return value.strip()
    return ""
