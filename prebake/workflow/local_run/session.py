"""The containers of one ``prebake run``, one after the other: their start, their end, and what is printed about both."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prebake.docker.connection import Connection
from prebake.docker.containers.attached import AttachedContainer, PortTaken, attached
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.errors import ContainerEnded
from prebake.io.log import Log
from prebake.measure.warmup_request import WarmupRequest
from prebake.plan.image_config import GRPC_PORT, HTTP_PORT
from prebake.workflow.local_run.container import ADMIN_TOKEN, PORTS, find_ports
from prebake.workflow.local_run.curl import write_curl_lines
from prebake.workflow.local_run.log_lines import format_line, parse_event
from prebake.workflow.local_run.server_client import REQUEST_ID, ServerClient, finished_phases

POLL_SECONDS = 0.2
"""Between two looks at a start: each takes the server a moment of it."""
GRACE_SECONDS = 25.0
"""The server's own without ``PREBAKE_GRACE_PERIOD`` (``entrypoints.settings``)."""
GRACE_MARGIN_SECONDS = 5.0
"""The server's time to exit after its grace period, as in the Pods of ``prebake deploy``."""
KILLED = 137
"""128 and SIGKILL."""


@dataclass
class Session:
    """``container`` has no published port of HTTP yet. ``port`` is the asked one, then that of the last container, which the next
    one gets, too. ``show`` gets the container's log, ``log`` what Prebake says.

    ``fault`` is the last one that the server logged, ``exit_code`` that of the last container if it is known.
    """

    connection: Connection
    container: ContainerSpec
    warmups: Mapping[str, WarmupRequest]
    folder: Path
    log: Log
    show: Callable[[str], None]
    port: int | None = None
    opens: bool = False
    json: bool = False
    announced: bool = False
    fault: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> ServerClient:
        return ServerClient(self.port or 0, self.container.environment[ADMIN_TOKEN])

    @contextmanager
    def started(self) -> Iterator[AttachedContainer]:
        """A container, which gets its grace period at the end of the block. A second Ctrl-C kills it at once.

        Raises EngineError, and PortTaken if the asked port or every port of ``PORTS`` is in use.
        """
        self.fault, self.exit_code = {}, None
        with ExitStack() as opened:
            container = self._attach(opened)
            try:
                yield container
            finally:
                if not container.ended.is_set():
                    self.log(f"stopping: requests in flight have {self._grace:g} s; Ctrl-C ends the container at once")
                    container.stop(self._grace + GRACE_MARGIN_SECONDS)
                self.exit_code = container.exit_code

    def _attach(self, opened: ExitStack) -> AttachedContainer:
        for port in find_ports(self.port, local=self.connection.local):
            spec = replace(self.container, published={HTTP_PORT: port})
            try:
                container = opened.enter_context(attached(self.connection, spec, self._read_line))
            except PortTaken:
                if port == self.port:
                    raise
                continue
            self.port = port
            return container
        raise PortTaken(
            f"The ports {PORTS.start} to {PORTS.stop - 1} of 127.0.0.1 are in use.",
            next_action="end a program that uses one of them, or give another port with --port",
        )

    @property
    def _grace(self) -> float:
        try:
            return float(self.container.environment.get("PREBAKE_GRACE_PERIOD") or GRACE_SECONDS)
        except ValueError:  # the server refuses it, and says why
            return GRACE_SECONDS

    def _read_line(self, line: str) -> None:
        event = parse_event(line) or {}
        if event.get("event") == "fault":
            self.fault = event
        if self.json:
            self.show(line)
        elif not (event.get("event") == "request" and event.get("request_id") == REQUEST_ID):
            self.show(format_line(line))

    def follow_start(self, container: AttachedContainer) -> None:
        """Print each phase of the start once it has ended, until the container is ready, and then how it is reached."""
        shown: set[tuple[str, float]] = set()
        while not container.ended.wait(POLL_SECONDS):
            startup = self.client.get_startup() or {}
            for name, start, seconds in finished_phases(startup):
                if (name, start) not in shown:
                    shown.add((name, start))
                    self.log(f"  {start + seconds:6.2f} s  {name} ({seconds:.2f} s)")
            if startup.get("state") == "ready":
                self._announce(container, startup.get("ready_seconds") or 0.0)
                return

    def _announce(self, container: AttachedContainer, seconds: float) -> None:
        self.log(f"ready after {seconds:.2f} s: {self.address}")
        if self.announced:
            return
        self.announced = True
        for line in write_curl_lines(self.address, self.warmups, self.folder, Path.cwd()):
            self.log(f"  {line}")
        if GRPC_PORT in self.container.ports:
            self.log(f"  gRPC: 127.0.0.1:{container.published(GRPC_PORT)}")
        self.log(f"  administration: Authorization: Bearer {self.client.token}")
        # A fragment is not sent to the server, so no log and no proxy has it.
        if self.opens and not webbrowser.open(f"{self.address}/#token={self.client.token}"):
            self.log(f"  no browser was found; open {self.address}/ by hand")

    def end(self) -> ContainerEnded | None:
        """The error of a container that has ended; None if it ended in order."""
        code = self.exit_code
        if not code:
            return None
        reason = f": {self.fault['reason']}" if self.fault.get("reason") else "."
        advice = "read the log above; docs/reference/exit-codes.md lists the codes"
        if code == KILLED:
            advice = (
                "see whether something killed it (`docker kill`), or give it more memory by `resources` in image.yaml"
            )
        return ContainerEnded(
            f"The container of {self.container.image} ended with code {code}{reason}",
            exit_code=code,
            next_action=_as_clause(str(self.fault.get("action") or advice)),
        )


def _as_clause(sentence: str) -> str:
    """Without its capital and its full stop, as the next action of an error."""
    return (sentence[:1].lower() + sentence[1:]).removesuffix(".")
