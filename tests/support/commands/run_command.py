"""``prebake run`` as a process, and what it started."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import LABEL
from tests.support.commands.projects import Built, Child, Ended

READY = "administration: Authorization: Bearer "


@contextmanager
def running(toy: Built, *words: str, **variables: str) -> Iterator[Child]:
    """The command, once the container is ready."""
    with toy.project.started("run", "toy", "--tag", toy.tag, *words, **variables) as child:
        yield child.wait_for(READY)


def address_of(child: Child) -> str:
    return str(re.findall(r"ready after [\d.]+ s: (\S+)", child.stderr)[-1])


def ask(child: Child, values: str = "1 2 3 4 5 6 7 8", path: str = "/generate") -> httpx.Response:
    """The answer of the toy."""
    return httpx.post(f"{address_of(child)}{path}", data={"values": values}, timeout=60, trust_env=False)


def interrupt(child: Child, number: int = signal.SIGINT) -> Ended:
    child.process.send_signal(number)
    return child.end()


def all_containers(engine: Connection, tag: str) -> list[str]:
    """Those that have ended, too."""
    with closing(engine.client()) as client:
        found = client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
        return [str(each.id) for each in found if each.attrs["Config"]["Image"] == tag]
