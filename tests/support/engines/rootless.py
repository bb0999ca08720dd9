"""A rootless Docker Engine: dockerd under rootlesskit, as a user of its own that is on no record of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prebake.bootstrap import debian_packages
from prebake.bootstrap.engine_folder import engine_answers
from prebake.docker.connection import Connection
from prebake.io.log import silent
from tests.support.commands.projects import wait_until

USER = 61_500
"""Whose Engine it is; the container's root is this user."""
FIRST = 300_000
_PACKAGES = ("rootlesskit", "slirp4netns", "uidmap", "libslirp0", "libsubid4")

# In a mount namespace of its own, so that this machine's accounts and its /dev/net/tun stay as they are.
_START = """
set -e; cd "$1"
for name in passwd group; do cat "/etc/$name" "$name" > "all-$name"; mount --bind "all-$name" "/etc/$name"; done
mknod -m 666 tun c 10 200; mount --bind tun /dev/net/tun
mount --bind ids /etc/subuid; mount --bind ids /etc/subgid
exec setpriv --reuid=$2 --regid=$2 --clear-groups rootlesskit --net=slirp4netns --port-driver=builtin \
  --copy-up=/etc --copy-up=/run --state-dir="$1/run/kit" \
  sh -c 'rm -f /run/docker /run/containerd; exec dockerd --rootless --bridge=none --iptables=false --ip6tables=false \
    -H "unix://$1/run/docker.sock" --data-root "$1/home/data" --exec-root "$1/run/exec" -p "$1/run/pid"' sh "$1"
"""


@contextmanager
def rootless_engine(programs: Path) -> Iterator[tuple[Connection, Path]]:
    """The Engine, and a folder that its user can reach, while the block lasts. ``programs`` has dockerd and containerd."""
    home = Path(tempfile.mkdtemp(prefix="prl-", dir="/tmp"))  # short: a socket's path is bounded
    home.chmod(0o755)
    debian_packages.unpack(_PACKAGES, home / "root", silent)
    shutil.copytree(programs, home / "bin")  # links into a folder that this user cannot enter become files
    for name, text in {
        "ids": f"prl:{FIRST}:65536\n",
        "passwd": f"prl:x:{USER}:{USER}::{home}/home:/bin/sh\n",
        "group": f"prl:x:{USER}:\n",
    }.items():
        (home / name).write_text(text)
    for path in ("/etc/subuid", "/etc/subgid"):
        Path(path).touch()
    for name in ("home", "run", "shared"):
        (home / name).mkdir(mode=0o700)
        os.chown(home / name, USER, USER)
    host = f"unix://{home}/run/docker.sock"
    with (home / "log").open("w") as log:
        command = ["unshare", "--mount", "sh", "-c", _START, "sh", str(home), str(USER)]
        daemon = subprocess.Popen(command, env=_environment(home), stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: daemon.poll() is not None or engine_answers(host), f"dockerd, see {home}/log")
        assert daemon.poll() is None, (home / "log").read_text()
        yield Connection(host, programs / "docker", programs.parent / "config"), home / "shared"
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        shutil.rmtree(home, ignore_errors=True)


def _environment(home: Path) -> dict[str, str]:
    folders = (home / "bin", home / "root/usr/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
    libraries = ":".join(map(str, (home / "root/usr/lib").glob("*-linux-gnu")))
    places = {"HOME": str(home / "home"), "XDG_RUNTIME_DIR": str(home / "run"), "LD_LIBRARY_PATH": libraries}
    return {**places, "PATH": ":".join(map(str, folders))}
