"""The environment, read once into a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, cast

from entrypoints.errors import SettingsFault

RENAMED = {
    "PREBAKE_FAULT_LINGER": "PREBAKE_FAILURE_EXIT_DELAY",
    "PREBAKE_GRACE": "PREBAKE_GRACE_PERIOD",
    "PREBAKE_MEMBERS": "PREBAKE_MODEL_NAMES",
}
"""Earlier names of variables. A start ends if one is set: a server that ignored it would run with other settings."""


class Settings(NamedTuple):
    """The settings of this container. A named tuple, because importing dataclasses before the bind costs 5 ms."""

    models: str = "/models"
    """The folder with ``manifest.json``."""
    host: str = "0.0.0.0"  # noqa: S104 (in a container there is no other way to be reached)
    port: int = 8000
    threads: int = 0
    """The threads of each ONNX Runtime session, or of torch; 0: as many as the processors that the container may use."""
    workers: int = 1
    """Requests that the model works on at once."""
    verify: str = "full"
    fallback: str = ""
    """``warn`` or ``error``; empty: the image's setting."""
    failure_exit_delay: float = 10.0
    """Seconds until a failed server ends, so that ``/health`` can be read."""
    grace_period: float = 25.0
    """Seconds that requests in flight have after SIGTERM."""
    heartbeat: float = 10.0
    """Seconds without an event until an event stream gets a comment; 0: never."""
    max_connections: int = 4096
    """Connections that may be open; 0, or if the limit of open files is low: as many as that limit allows."""
    access_log: Literal["on", "all", "off"] = "on"
    """``on``: a line for each request, except for health checks that succeed. ``all``: for those too."""
    allowed_hosts: tuple[str, ...] = ()
    """Values of the Host header that a POST may have; none: any."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of web pages that may send a POST, besides the server's own; ``*``: any."""
    model_names: tuple[str, ...] = ()
    """Empty if the image has one model. The image sets the variable."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read every ``PREBAKE_*`` variable. Raises SettingsFault with every problem."""
    problems = [f"{old}: was renamed to {new}" for old, new in RENAMED.items() if old in environ]

    def number(name: str, default: float, maximum: float, *, whole: bool = False) -> float:
        text = environ.get(name) or str(default)
        try:
            value = float(int(text) if whole else float(text))
        except ValueError:
            value = -1.0
        if not 0 <= value <= maximum:
            kind = "a whole number" if whole else "a number"
            problems.append(f"{name}={text!r}: give {kind} from 0 to {maximum:g}")
        return value

    def split(name: str) -> tuple[str, ...]:
        return tuple(entry.strip() for entry in environ.get(name, "").split(",") if entry.strip())

    default = Settings()
    verify = environ.get("PREBAKE_VERIFY") or default.verify
    if verify not in ("full", "sha256", "sizes"):
        problems.append(f"PREBAKE_VERIFY={verify!r}: give full, sha256 or sizes")
    fallback = environ.get("PREBAKE_FALLBACK") or default.fallback
    if fallback not in ("", "warn", "error"):
        problems.append(f"PREBAKE_FALLBACK={fallback!r}: give warn or error")
    access_log = environ.get("PREBAKE_ACCESS_LOG") or default.access_log
    if access_log not in ("on", "all", "off"):
        problems.append(f"PREBAKE_ACCESS_LOG={access_log!r}: give on, all or off")
    settings = Settings(
        models=environ.get("PREBAKE_MODELS") or default.models,
        host=environ.get("PREBAKE_HOST") or default.host,
        port=int(number("PREBAKE_PORT", default.port, 65535, whole=True)),
        threads=int(number("PREBAKE_THREADS", default.threads, 1024, whole=True)),
        workers=max(1, int(number("PREBAKE_WORKERS", default.workers, 64, whole=True))),
        verify=verify,
        fallback=fallback,
        failure_exit_delay=number("PREBAKE_FAILURE_EXIT_DELAY", default.failure_exit_delay, 3600),
        grace_period=number("PREBAKE_GRACE_PERIOD", default.grace_period, 86400),
        heartbeat=number("PREBAKE_HEARTBEAT", default.heartbeat, 3600),
        max_connections=int(number("PREBAKE_MAX_CONNECTIONS", default.max_connections, 1_000_000, whole=True)),
        access_log=cast('Literal["on", "all", "off"]', access_log),
        allowed_hosts=split("PREBAKE_ALLOWED_HOSTS"),
        allowed_origins=split("PREBAKE_ALLOWED_ORIGINS"),
        model_names=split("PREBAKE_MODEL_NAMES"),
    )
    if problems:
        raise SettingsFault(problems)
    return settings
