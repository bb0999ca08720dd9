"""A dockerd of Prebake's own: its settings, its start, and the wait until it answers."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prebake.bootstrap.engine_folder import EngineFolder, engine_answers
from prebake.errors import EngineUnavailable
from prebake.io import subprocesses
from prebake.io.atomic_write import write_text
from prebake.io.log import Log
from prebake.io.subprocesses import Daemon

_START_SECONDS = 60.0
_MAX_HOME_CHARACTERS = 60  # a socket's path has at most 107 bytes (sun_path), and containerd adds its own to ours


def require_short_path(engine: EngineFolder) -> None:
    """Raises EngineUnavailable if the sockets in the Engine's folder would have paths that are too long."""
    if len(str(engine.home)) > _MAX_HOME_CHARACTERS:
        raise EngineUnavailable(
            f"The path {engine.home} is too long for a private Engine's sockets.",
            next_action="set PREBAKE_CACHE to a shorter path",
        )


def start_dockerd(
    engine: EngineFolder, command: Sequence[str | Path], settings: Mapping[str, Any], env: Mapping[str, str], log: Log
) -> Daemon:
    """Start dockerd, the last word of ``command``, in its folder. ``settings`` are added to those of every Engine of Prebake's:
    containerd's image store, sockets and data in the folder, and no packet rules of dockerd's.

    Raises CommandFailed. The Engine may not answer yet.
    """
    common = {
        "features": {"containerd-snapshotter": True},
        "hosts": [engine.host],
        "data-root": str(engine.home / "data"),
        "exec-root": str(engine.run / "exec"),
        "pidfile": str(engine.pidfile),
        "iptables": False,
        "ip6tables": False,
    }
    file = engine.home / "daemon.json"
    write_text(file, json.dumps({**common, **settings}, indent=2, sort_keys=True) + "\n")
    return subprocesses.start_daemon((*command, "--config-file", file), env=env, log_file=engine.log_file, log=log)


def wait_for_answer(engine: EngineFolder, child: Daemon) -> None:
    """Wait until the Engine answers. Raises EngineUnavailable, with the end of its log, if it ends or takes too long."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        if engine_answers(engine.host, seconds=2):
            return
        time.sleep(0.1)
    code = child.poll()
    outcome = f"ended with code {code}" if code is not None else f"did not answer within {_START_SECONDS:g} s"
    tail = "\n".join(f"  {line}" for line in engine.log_file.read_text(errors="replace").splitlines()[-12:])
    raise EngineUnavailable(f"The private Engine {outcome}:\n{tail}", next_action=f"read {engine.log_file}")
