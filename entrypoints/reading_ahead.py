"""The kernel is asked for what a start will read, so that the disk works while the imports do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from entrypoints.manifest import Component, Reads, TorchComponent


def read_ahead(models: Path, components: Iterable[Component | TorchComponent]) -> None:
    """Ask the kernel for graphs, configurations and the ranges of the weights; it reads on its own, this returns early.

    Where there are compiled forms, whoever opens one asks for what it reads.
    """
    certain = [each for each in components if not (isinstance(each, Component) and each.artifacts)]
    for component in certain:
        advise(models / component.first, [(0, 0)])
    for component in certain:
        advise_reads(models, component.reads)


def advise_reads(models: Path, reads: Reads) -> None:
    for file, ranges in reads.items():
        advise(models / file, ranges)


def advise(path: Path, ranges: Iterable[tuple[int, int]]) -> None:
    """A length of 0 means to the end. A failure is no matter: whoever needs the bytes will read them and say."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        for offset, length in ranges:
            os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_WILLNEED)
    except OSError:
        pass
    finally:
        os.close(descriptor)
