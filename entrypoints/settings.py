"""The environment, read once into a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

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
    memory_check: str = "error"
    """``warn``: start although the memory limit cannot hold the weights."""
    request_memory: int = 0
    """Bytes that all requests together may take; 0: a share of the free memory."""
    failure_exit_delay: float = 10.0
    """Seconds until a failed server ends, so that ``/health`` can be read."""
    grace_period: float = 25.0
    """Seconds that requests in flight have after SIGTERM."""
    heartbeat: float = 10.0
    """Seconds without an event until an event stream gets a comment; 0: never."""
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

    def size(name: str) -> int:
        text = environ.get(name)
        if not text:
            return 0
        from entrypoints.hardware.container_memory import parse_bytes

        try:
            return parse_bytes(text)
        except ValueError:
            problems.append(f"{name}={text!r}: give bytes, or a number with Ki, Mi or Gi")
            return 0

    default = Settings()
    verify = environ.get("PREBAKE_VERIFY") or default.verify
    if verify not in ("full", "sha256", "sizes"):
        problems.append(f"PREBAKE_VERIFY={verify!r}: give full, sha256 or sizes")
    fallback = environ.get("PREBAKE_FALLBACK") or default.fallback
    if fallback not in ("", "warn", "error"):
        problems.append(f"PREBAKE_FALLBACK={fallback!r}: give warn or error")
    memory_check = environ.get("PREBAKE_MEMORY_CHECK") or default.memory_check
    if memory_check not in ("warn", "error"):
        problems.append(f"PREBAKE_MEMORY_CHECK={memory_check!r}: give warn or error")
    settings = Settings(
        models=environ.get("PREBAKE_MODELS") or default.models,
        host=environ.get("PREBAKE_HOST") or default.host,
        port=int(number("PREBAKE_PORT", default.port, 65535, whole=True)),
        threads=int(number("PREBAKE_THREADS", default.threads, 1024, whole=True)),
        workers=max(1, int(number("PREBAKE_WORKERS", default.workers, 64, whole=True))),
        verify=verify,
        fallback=fallback,
        memory_check=memory_check,
        request_memory=size("PREBAKE_REQUEST_MEMORY"),
        failure_exit_delay=number("PREBAKE_FAILURE_EXIT_DELAY", default.failure_exit_delay, 3600),
        grace_period=number("PREBAKE_GRACE_PERIOD", default.grace_period, 86400),
        heartbeat=number("PREBAKE_HEARTBEAT", default.heartbeat, 3600),
        model_names=tuple(name for name in environ.get("PREBAKE_MODEL_NAMES", "").split(",") if name),
    )
    if problems:
        raise SettingsFault(problems)
    return settings
