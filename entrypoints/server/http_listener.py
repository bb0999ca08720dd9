"""uvicorn without its command line, reloader, logging set-up and signal handlers, which a container does not use."""

from __future__ import annotations

import importlib.util
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING


def import_uvicorn() -> None:
    """Make ``uvicorn``'s modules importable without running its ``__init__``, which imports click and the supervisors.

    Measured: 14 of the 94 ms that the plain import costs. Its ``__init__`` only re-exports names; the one that its own modules
    take from there, ``Config``, is set here. If another version differs, the plain import runs.
    """
    spec = importlib.util.find_spec("uvicorn")
    if spec is None:
        raise ModuleNotFoundError("the image does not have the package uvicorn")
    package = sys.modules["uvicorn"] = importlib.util.module_from_spec(spec)
    try:
        from uvicorn.config import Config

        vars(package)["Config"] = Config
        import uvicorn.lifespan.off
        import uvicorn.protocols.http.h11_impl
        import uvicorn.server  # noqa: F401
    except (ImportError, AttributeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "uvicorn"]:
            del sys.modules[name]


import_uvicorn()

from uvicorn.config import Config  # noqa: E402
from uvicorn.server import Server  # noqa: E402

if TYPE_CHECKING:
    from entrypoints.server.app import App


class Listener(Server):
    """``on_live`` is called once connections are answered."""

    def __init__(self, app: App, on_live: Callable[[], None]) -> None:
        config = Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=75,  # longer than load balancers keep idle connections, or they race with our closing
            timeout_graceful_shutdown=2,  # requests in flight were waited for before
        )
        super().__init__(config)
        self._on_live = on_live

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_live()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """ServerProcess handles signals: uvicorn would stop listening at once, and ``/health`` has to answer on."""
        yield
