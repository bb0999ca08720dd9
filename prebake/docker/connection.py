"""The search for a Docker Engine, and the connection to it.

Of ``prebake.bootstrap`` only the folder of a private Engine is imported here: such an Engine is one of those that are tried.
"""

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

from prebake.bootstrap.engine_folder import EngineFolder, engine_answers, engine_folder
from prebake.errors import EngineUnavailable
from prebake.io import subprocesses
from prebake.io.disk_space import free_bytes
from prebake.io.log import Log, log_to_stderr

DEFAULT_HOST = "unix:///var/run/docker.sock"
_PLUGIN_FOLDERS = (  # of the docker command, besides that of its configuration
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
_api_versions: dict[str, str] = {}
"""The API version of each Engine by its address. A client that does not know it needs another request."""

_UNSET_VARIABLES = ("DOCKER_CONTEXT", "BUILDX_BUILDER", "DOCKER_DEFAULT_PLATFORM")


@dataclass(frozen=True)
class Connection:
    """An Engine that answered, with the docker command. ``config`` is the command's configuration folder, None for its
    default."""

    host: str
    cli: Path
    config: Path | None = None

    @property
    def env(self) -> dict[str, str]:
        """The environment in which the docker command uses this Engine and its built-in builder."""
        kept = {name: value for name, value in os.environ.items() if name not in _UNSET_VARIABLES}
        config = {"DOCKER_CONFIG": str(self.config)} if self.config else {}
        return {**kept, **config, "DOCKER_HOST": self.host}

    def client(self, *, seconds: float = 120) -> DockerClient:
        """A new client of the Engine's API, which the caller closes. ``seconds`` bounds each call."""
        version = _api_versions.get(self.host)
        if self.host == os.environ.get("DOCKER_HOST"):  # with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH
            client = docker.from_env(version=version, timeout=int(seconds))
        else:
            client = DockerClient(base_url=self.host, version=version, timeout=int(seconds))
        _api_versions[self.host] = client.api.api_version
        return client

    @property
    def local(self) -> bool:
        """Whether the Engine's address is a socket of this machine."""
        return self.host.startswith("unix://")


@dataclass(frozen=True)
class EngineVersions:
    """Versions of an Engine, of its built-in BuildKit, and of the docker command's buildx. The last two may be empty."""

    engine: str
    buildkit: str
    buildx: str


@dataclass(frozen=True)
class Storage:
    """Where an Engine keeps its images. ``free`` is in bytes, None if that disk is not this machine's."""

    root: Path
    free: int | None


def stage_user(connection: Connection) -> str:
    """The user of a container whose files belong to this process's user, if the Engine does not remap users: this process's user.
    In a rootless Engine it is the container's root, since all other numbers stand for subordinate users."""
    with closing(connection.client()) as client:
        rootless = "name=rootless" in (client.info().get("SecurityOptions") or ())
    return "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"


def storage_of(connection: Connection) -> Storage:
    """Where the Engine keeps its images."""
    with closing(connection.client()) as client:
        root = Path(client.info()["DockerRootDir"])
    return Storage(root, free_bytes(root) if connection.local and root.exists() else None)


def find_engine(environ: Mapping[str, str] = os.environ, *, private_home: Path | None = None) -> Connection:
    """The Engine of DOCKER_HOST. If that is not set, the first that answers of these: the docker command's context, the default
    socket, a rootless Engine's socket, the private Engine.

    Raises EngineUnavailable if none answers, or if the docker command or buildx is missing.
    """
    private = engine_folder(private_home)
    for host in _hosts(environ, private.host):
        if engine_answers(host):
            return _with_command(host, private, environ)
        if host == environ.get("DOCKER_HOST"):  # the user chose it, so no other Engine is used
            break
    tried = environ.get("DOCKER_HOST") or ", ".join(dict.fromkeys(_hosts(environ, private.host)))
    raise EngineUnavailable(
        f"No Docker Engine answers at {tried}",
        next_action="start Docker, or correct DOCKER_HOST, or run `prebake engine up` for a private Engine",
    )


def ensure_engine(log: Log = log_to_stderr, environ: Mapping[str, str] = os.environ) -> Connection:
    """``find_engine``, or a private Engine that is started now. The Engine of DOCKER_HOST is not replaced by another."""
    try:
        return find_engine(environ)
    except EngineUnavailable:
        if environ.get("DOCKER_HOST"):
            raise
        from prebake.bootstrap import private_engine  # rarely needed

        private_engine.up(log=log)
        return find_engine(environ)


def read_versions(connection: Connection) -> EngineVersions:
    """Ask the Engine and the docker command for their versions."""
    with closing(connection.client()) as client:
        engine = str(client.version()["Version"])
    return EngineVersions(engine=engine, buildkit=_buildkit_version(connection), buildx=_buildx_version(connection))


def _hosts(environ: Mapping[str, str], private: str) -> list[str]:
    if environ.get("DOCKER_HOST"):
        return [environ["DOCKER_HOST"]]
    context = _context_host(environ)
    runtime = environ.get("XDG_RUNTIME_DIR")
    rootless = [f"unix://{runtime}/docker.sock"] if runtime else []  # where dockerd-rootless.sh creates it
    return [*([context] if context else []), DEFAULT_HOST, *rootless, private]


def _context_host(environ: Mapping[str, str]) -> str | None:
    cli = shutil.which("docker", path=environ.get("PATH"))
    if cli is None or not (environ.get("DOCKER_CONTEXT") or _configuration(_folder(environ)).get("currentContext")):
        return None  # or it is the default one
    command = [cli, "context", "inspect", "--format", "{{json .Endpoints.docker.Host}}"]
    ended = subprocesses.run(command, env=environ, check=False, timeout=10)
    return str(json.loads(ended.stdout)) if ended.exit_code == 0 and ended.stdout.strip() else None


def _with_command(host: str, private: EngineFolder, environ: Mapping[str, str]) -> Connection:
    """The connection by the docker command of PATH, or by that of the private Engine if the former has no buildx."""
    cli = shutil.which("docker", path=environ.get("PATH"))
    config = environ.get("DOCKER_CONFIG")
    candidates = [Connection(host, Path(cli), Path(config) if config else None)] if cli else []
    if private.cli.exists():
        candidates.append(Connection(host, private.cli, private.config))
    for connection in candidates:
        if _has_buildx(connection):
            return connection
    problem = "has no buildx" if candidates else "is missing"
    raise EngineUnavailable(
        f"An Engine answers at {host}, but the docker command {problem}",
        next_action="install the docker command with the buildx plugin (Debian: docker-cli and docker-buildx)",
    )


def _has_buildx(connection: Connection) -> bool:
    """Whether buildx is installed: by the plugin's file if possible, since running it takes longer than all other checks before a
    build."""
    folder = connection.config or _folder(os.environ)
    more = _configuration(folder).get("cliPluginsExtraDirs") or ()
    files = (Path(place, "docker-buildx") for place in (folder / "cli-plugins", *more, *_PLUGIN_FOLDERS))
    return any(os.access(file, os.X_OK) for file in files) or bool(_buildx_version(connection))


def _folder(environ: Mapping[str, str]) -> Path:
    """The docker command's configuration folder."""
    return Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or Path.home(), ".docker"))


def _configuration(folder: Path) -> Mapping[str, Any]:
    """The content of ``config.json``; empty if it cannot be read, which the docker command reports itself."""
    try:
        document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _buildx_version(connection: Connection) -> str:
    """Such as ``0.29.1``; empty if there is no buildx."""
    ended = subprocesses.run([connection.cli, "buildx", "version"], env=connection.env, check=False, timeout=20)
    words = ended.stdout.split()
    return words[1].lstrip("v") if ended.exit_code == 0 and len(words) > 1 else ""


def _buildkit_version(connection: Connection) -> str:
    """The version of the Engine's built-in builder, such as ``v0.25.1``; empty if buildx does not print one."""
    ended = subprocesses.run(
        [connection.cli, "buildx", "inspect", "default"], env=connection.env, check=False, timeout=20
    )
    for line in ended.stdout.splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "buildkit version":
            return value.strip()
    return ""
