"""What a kind of checkpoint is found to be, for the templates of its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Facts:
    """``files`` that the export reads and ``ship`` that serving does, besides configuration and weights; ``samples`` for the
    image's folder by name; ``values`` for the templates; ``memory`` in bytes that the largest request takes besides the
    weights."""

    files: tuple[str, ...] = ()
    ship: tuple[str, ...] = ()
    samples: Mapping[str, bytes] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    memory: int = 0
