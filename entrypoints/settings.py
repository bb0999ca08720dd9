"""The environment, read once into a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from entrypoints.faults import SettingsFault


class Settings(NamedTuple):
    """How this container was asked to run. A named tuple, because importing dataclasses before the bind costs 5 ms."""

    models: str = "/models"
    host: str = "0.0.0.0"  # noqa: S104 (in a container there is no other way to be reached)
    port: int = 8000
    threads: int = 0
    workers: int = 1
    verify: str = "full"
    fallback: str = ""
    """``announce`` or ``error``; empty: as the image says."""
    fault_linger: float = 10.0
    grace: float = 25.0
    heartbeat: float = 10.0
    members: tuple[str, ...] = ()
    """The models, where the image has several; the image says so itself."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read every ``PREBAKE_*`` variable. Raises SettingsFault that names all that are wrong."""
    problems: list[str] = []

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

    default = Settings()
    verify = environ.get("PREBAKE_VERIFY") or default.verify
    if verify not in ("full", "sha256", "sizes"):
        problems.append(f"PREBAKE_VERIFY={verify!r}: give full, sha256 or sizes")
    fallback = environ.get("PREBAKE_FALLBACK") or default.fallback
    if fallback not in ("", "announce", "error"):
        problems.append(f"PREBAKE_FALLBACK={fallback!r}: give announce or error")
    settings = Settings(
        models=environ.get("PREBAKE_MODELS") or default.models,
        host=environ.get("PREBAKE_HOST") or default.host,
        port=int(number("PREBAKE_PORT", default.port, 65535, whole=True)),
        threads=int(number("PREBAKE_THREADS", default.threads, 1024, whole=True)),
        workers=max(1, int(number("PREBAKE_WORKERS", default.workers, 64, whole=True))),
        verify=verify,
        fallback=fallback,
        fault_linger=number("PREBAKE_FAULT_LINGER", default.fault_linger, 3600),
        grace=number("PREBAKE_GRACE", default.grace, 86400),
        heartbeat=number("PREBAKE_HEARTBEAT", default.heartbeat, 3600),
        members=tuple(name for name in environ.get("PREBAKE_MEMBERS", "").split(",") if name),
    )
    if problems:
        raise SettingsFault(problems)
    return settings
