"""A Docker Engine with ``--userns-remap`` of its own, from the programs of the private one: other data, socket and bridge."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prebake.bootstrap import engine_network
from prebake.bootstrap.engine_folder import engine_answers
from prebake.docker.connection import Connection
from prebake.io.log import silent
from tests.support.commands.projects import wait_until

FIRST = 200_000
"""The number on the machine of what is root in a container."""

# The machine's own /etc/subuid stays as it is: the daemon sees these files in a mount namespace of its own.
_START = """
mount --bind "$1/ids" /etc/subuid && mount --bind "$1/ids" /etc/subgid && exec "$2/dockerd" --config-file "$1/daemon.json"
"""


@contextmanager
def remapped_engine(programs: Path) -> Iterator[Connection]:
    """While the block lasts. ``programs`` is a folder with dockerd, containerd and docker."""
    home = Path(tempfile.mkdtemp(prefix="pbr-", dir="/tmp"))  # short: a socket's path is bounded
    home.chmod(0o711)  # the remapped root has to come to its data
    own, record = engine_network.choose(home), home / "network.json"
    engine_network.set_up(own, record, silent)
    (home / "ids").write_text(f"nobody:{FIRST}:65536\nnogroup:{FIRST}:65536\n")
    for path in ("/etc/subuid", "/etc/subgid"):
        Path(path).touch()
    (home / "daemon.json").write_text(json.dumps(_settings(home, own)))
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    command = ["unshare", "--mount", "sh", "-c", _START, "sh", str(home), str(programs)]
    with (home / "log").open("w") as log:
        daemon = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    host = f"unix://{home}/docker.sock"
    try:
        wait_until(lambda: daemon.poll() is not None or engine_answers(host), f"dockerd, see {home}/log")
        assert daemon.poll() is None, (home / "log").read_text()
        yield Connection(host, programs / "docker", programs.parent / "config")
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        engine_network.tear_down(record)
        shutil.rmtree(home, ignore_errors=True)


def _settings(home: Path, own: engine_network.Network) -> dict[str, object]:
    return {
        "features": {"containerd-snapshotter": False},  # the Engine has no remapping with that store
        "hosts": [f"unix://{home}/docker.sock"],
        "data-root": str(home / "data"),
        "exec-root": str(home / "exec"),
        "pidfile": str(home / "dockerd.pid"),
        "containerd-namespace": f"prebake-{own.bridge}",
        "containerd-plugins-namespace": f"prebake-{own.bridge}-plugins",
        "bridge": own.bridge,
        "iptables": False,
        "ip6tables": False,
        "userns-remap": "nobody:nogroup",
    }
