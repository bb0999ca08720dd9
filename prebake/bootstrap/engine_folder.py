"""The folder of a private Docker Engine: its programs, sockets, settings and images by path, and whether it answers.

Little is imported here, since every search for an Engine looks into this folder. What starts and stops the Engine lies in
``private_engine``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient
from docker.errors import DockerException
from requests import RequestException

from prebake.io.cache_folder import cache_folder


@dataclass(frozen=True)
class EngineFolder:
    """Paths only: they name the parts of a private Engine whether it is installed and runs or not."""

    home: Path

    @property
    def host(self) -> str:
        return f"unix://{self.run / 'docker.sock'}"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def programs(self) -> Path:
        return self.home / "bin"

    @property
    def config(self) -> Path:
        """The docker command's configuration folder, which holds the buildx plugin."""
        return self.home / "config"

    @property
    def cli(self) -> Path:
        return self.programs / "docker"

    @property
    def pidfile(self) -> Path:
        return self.run / "dockerd.pid"

    @property
    def log_file(self) -> Path:
        return self.run / "dockerd.log"

    @property
    def network_record(self) -> Path:
        """What ``engine_network.set_up`` made."""
        return self.home / "network.json"


def engine_folder(home: Path | None = None) -> EngineFolder:
    """The private Engine in ``home``, by default in ``engine`` of the cache folder (``$PREBAKE_CACHE``)."""
    return EngineFolder((home or cache_folder() / "engine").absolute())


def engine_answers(host: str, *, seconds: float = 5.0) -> bool:
    """Whether an Engine at ``host`` answers a ping within ``seconds``."""
    try:
        client = DockerClient(base_url=host, timeout=int(seconds))
    except (DockerException, RequestException):
        return False
    try:
        return bool(client.ping())
    except (DockerException, RequestException):
        return False
    finally:
        client.close()
