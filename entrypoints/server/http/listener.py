"""Accepts connections, at most so many, and ends those that are past their limits of time."""

from __future__ import annotations

import asyncio
import resource
import select
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from entrypoints.processes.log import log_event
from entrypoints.server.http.access_log import AccessLog, RequestRecord
from entrypoints.server.http.connection import HEAD_SECONDS, Connection
from entrypoints.server.http.exchange import Application, Exchange
from entrypoints.server.http.request_head import Refusal

if TYPE_CHECKING:
    from typing import Any, Protocol

    from entrypoints.server.usage import ServerUsage
    from entrypoints.settings import Settings

    class Tracer(Protocol):
        """What a listener needs of `entrypoints.server.tracing.tracer`."""

        def begin(self, headers: Sequence[tuple[bytes, bytes]], details: dict[str, Any]) -> object: ...

        def record(self, record: RequestRecord) -> None: ...


PROBE_CONNECTIONS = 16
"""Besides the bound: connections on which only probes are answered, so that liveness stays reachable."""
PROBE_HEAD_SECONDS = 2.0
WAITING_SECONDS = 1.0
"""A connection whose head is not complete after so long gives its place to a newer one if there is none left."""
ACCEPTS_PER_TURN = 16
"""Connections that are accepted until those that are open have their turn."""
EXHAUSTED_SECONDS = 0.5
"""Until connections are accepted again after none could be."""
CLOSING_SECONDS = 0.02
"""Until connections are accepted again after too many found no place: those are closed meanwhile."""
LOG_SECONDS = 10.0
"""At most one line in so many seconds about connections that find no place."""
UNLIMITED = 1_000_000
STOP_SECONDS = 2.0
"""For requests in flight; they were waited for before."""

SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
)
"""Accepted connections inherit them from the listening socket (tcp(7)). After 30 s without an answer to a keepalive probe, or
without a place for data in the client's buffers, the kernel ends a connection."""


class Listener:
    def __init__(
        self, application: Application, settings: Settings, usage: ServerUsage, on_live: Callable[[], None]
    ) -> None:
        """``on_live`` is called once connections are answered."""
        self.loop = asyncio.get_running_loop()
        self.stopping = False
        self.tracer: Tracer | None = None
        """If an endpoint for traces is set."""
        self._access_log = AccessLog(settings.access_log)
        self._application = application
        self._usage = usage
        self._on_live = on_live
        self._bound = compute_bound(settings.max_connections)
        self._open: dict[Connection, None] = {}
        """With those that are about to get their transport, since they have a file, too."""
        self._waiting: dict[Connection, float] = {}
        """Those whose head is not complete."""
        self._idle: dict[Connection, float] = {}
        """By the time since when, oldest first."""
        self._probes: dict[Connection, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: Sequence[socket.socket] = ()
        self._stopped = asyncio.Event()
        self._hang_ups: select.epoll | None = None
        self._watched: dict[int, Connection] = {}
        self._checking = False
        self._next_log = 0.0
        self._unlogged = 0

    async def serve(self, listening: Sequence[socket.socket]) -> None:
        """Until `stop` is called and requests in flight are answered."""
        self._listening = listening
        for listener in listening:
            listener.setblocking(False)
            for level, option, value in SOCKET_OPTIONS:
                listener.setsockopt(level, option, value)
        self._accept_again()
        self._on_live()
        await self._stopped.wait()
        await self._end()

    def stop(self) -> None:
        self._stopped.set()

    def describe_overload(self) -> Refusal:
        return Refusal(
            503,
            f"The server has {self._bound} connections, its limit (PREBAKE_MAX_CONNECTIONS and the limit of open files).",
        )

    # Connections call these.

    def remove(self, connection: Connection) -> None:
        for register in (self._open, self._waiting, self._idle, self._probes):
            register.pop(connection, None)
        self._usage.connections = len(self._open)
        if self._hang_ups is not None:
            descriptor = connection.transport.get_extra_info("socket").fileno()
            if self._watched.pop(descriptor, None) is not None:
                self._hang_ups.unregister(descriptor)

    def note_phase(self, connection: Connection) -> None:
        if connection.phase == "idle":
            self._idle[connection] = self.loop.time()
            return
        self._idle.pop(connection, None)
        if connection.phase in ("silent", "head"):
            self._waiting.setdefault(connection, self.loop.time())
        else:
            self._waiting.pop(connection, None)

    def start(self, exchange: Exchange, connection: Connection) -> None:
        """Begin to answer a request."""
        state: dict[str, object] = {"overloaded": self.describe_overload().message} if connection.overloaded else {}
        if self.tracer is not None:
            state["trace"] = self.tracer.begin(exchange.head.headers, exchange.details)
        task = self.loop.create_task(exchange.run(self._application, state))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def record(self, record: RequestRecord) -> None:
        """A request was answered, or its client is gone."""
        self._access_log.write(record)
        self._usage.count_request(record.state, record.outcome, record.seconds)
        if self.tracer is not None:
            self.tracer.record(record)

    def watch(self, connection: Connection) -> None:
        """Wait for a hang-up. asyncio does not, after a client's last byte: it would be told of that byte again and again."""
        if self._hang_ups is None:
            self._hang_ups = select.epoll()
            self.loop.add_reader(self._hang_ups.fileno(), self._hang_up)
        descriptor = connection.transport.get_extra_info("socket").fileno()
        self._watched[descriptor] = connection
        self._hang_ups.register(descriptor, 0)  # EPOLLHUP and EPOLLERR are always reported

    def _hang_up(self) -> None:
        assert self._hang_ups is not None  # noqa: S101
        for descriptor, _ in self._hang_ups.poll(0):
            self._watched.pop(descriptor).abort()
            self._hang_ups.unregister(descriptor)

    # Accepting.

    def _accept_again(self) -> None:
        if not self.stopping:
            for listening in self._listening:
                self.loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for turn in range(ACCEPTS_PER_TURN):
            if len(self._open) >= self._bound + 2 * PROBE_CONNECTIONS:
                self._pause_accepting(CLOSING_SECONDS)
                return
            try:
                accepted, address = listening.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # the client is gone already
                continue
            except OSError as error:  # mostly no file is left, of the process or of the machine
                self._pause_accepting(CLOSING_SECONDS if turn else EXHAUSTED_SECONDS)
                self._make_room()
                self._log_shortage(
                    f"No connection can be accepted: {error.strerror}. Raise the limit of open files (ulimit -n)."
                )
                return
            self._admit(accepted, str(address[0]).removeprefix("::ffff:"))

    def _pause_accepting(self, seconds: float) -> None:
        """Without a pause, the loop would be told of the same waiting connection at once, again and again."""
        for listening in self._listening:
            self.loop.remove_reader(listening)
        self.loop.call_later(seconds, self._accept_again)

    def _admit(self, accepted: socket.socket, client: str) -> None:
        overloaded = len(self._open) - len(self._probes) >= self._bound and not self._make_room()
        seconds = PROBE_HEAD_SECONDS if overloaded else HEAD_SECONDS
        connection = Connection(self, client, self.loop.time() + seconds, overloaded=overloaded)
        self._open[connection] = None
        self._usage.connections = len(self._open)
        if overloaded:
            self._usage.overload_connections += 1
            self._log_shortage(f"{self.describe_overload().message} Only probes are answered on new ones.")
            self._free_probe_place()
            self._probes[connection] = None
        accepted.setblocking(False)
        task = self.loop.create_task(self._open_transport(connection, accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not self._checking:
            self._checking = True
            self.loop.call_later(1.0, self._check)

    async def _open_transport(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:  # the client is gone already
            self._open.pop(connection, None)
            self._probes.pop(connection, None)
            accepted.close()

    def _make_room(self) -> bool:
        """End the connection that has waited longest for a request, if there is one. Whether there was."""
        for register, seconds in ((self._waiting, WAITING_SECONDS), (self._idle, 0.0)):
            oldest = next((connection for connection in register if not connection.overloaded), None)
            if oldest is not None and self.loop.time() - register[oldest] >= seconds:
                del register[oldest]
                oldest.stop()
                return True
        return False

    def _free_probe_place(self) -> None:
        if len(self._probes) < PROBE_CONNECTIONS:
            return
        for connection in self._probes:
            if connection.phase != "response" and hasattr(connection, "transport"):
                del self._probes[connection]
                connection.turn_away()
                return

    def _log_shortage(self, text: str) -> None:
        self._unlogged += 1
        if self.loop.time() >= self._next_log:
            self._next_log = self.loop.time() + LOG_SECONDS
            log_event(
                "connections exhausted", level="warning", text=text, connections=len(self._open), times=self._unlogged
            )
            self._unlogged = 0

    # Once a second.

    def _check(self) -> None:
        now = self.loop.time()
        for connection in list(self._open):
            if hasattr(connection, "transport"):
                connection.check(now)
        self._checking = bool(self._open)
        if self._checking:
            self.loop.call_later(1.0, self._check)

    async def _end(self) -> None:
        self.stopping = True
        for listening in self._listening:
            self.loop.remove_reader(listening)
            listening.close()
        for connection in list(self._open):
            if hasattr(connection, "transport"):
                connection.stop()
        deadline = self.loop.time() + STOP_SECONDS
        while self._open and self.loop.time() < deadline:
            await asyncio.sleep(0.02)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)


def compute_bound(maximum: int) -> int:
    """How many connections may be open, so that files are left for everything else: at least a quarter of the limit, and 64."""
    maximum = maximum or UNLIMITED
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return maximum
    return min(maximum, max(8, files - max(64, files // 4)))
