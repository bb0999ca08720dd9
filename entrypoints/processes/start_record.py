"""Everything that is known about one start. Events write it (`entrypoints.processes.events`), the endpoints read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrypoints.contract import Field
    from entrypoints.errors import Fault
    from entrypoints.manifest.values import Manifest


class StartRecord:
    """Events come from several threads of one process. Lists and dictionaries change by one atomic operation each. Counts of
    runs are added by the one thread that reads the channel."""

    def __init__(self) -> None:
        self.phases: dict[tuple[str, float], float | None] = {}
        """By name and start, the seconds that a phase took; None while it runs. Phases may overlap."""
        self.imports: dict[str, float] = {}
        self.notices: list[str] = []
        self.opened: dict[str, str] = {}
        """By component, the artifact or provider that it was opened with."""
        self.closed: dict[str, bool] = {}
        """The components that were open, and were closed to make room for others."""
        self.evictions: dict[str, int] = {}
        """By component, how many times it was closed."""
        self.reloads: dict[str, tuple[int, float]] = {}
        """By component, how many times it was opened again, and the seconds that this took."""
        self.fallbacks: list[Mapping[str, str]] = []
        """As ``FallbackTaken.describe`` gives them."""
        self.bucket_runs: dict[tuple[str, str], int] = {}
        """By component and bucket."""
        self.manifest: Manifest | None = None
        self.extra_files: list[str] = []
        self.threads = 0
        self.fields: tuple[Field, ...] = ()
        self.ready_seconds: float | None = None
        self.fault: Fault | None = None
