"""Read-ahead: the kernel reads the files that a start will need into the page cache, while modules are imported."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from entrypoints.manifest.values import ByteRanges, OnnxComponent, TorchComponent


def read_ahead(models: Path, components: Iterable[OnnxComponent | TorchComponent]) -> None:
    """Ask the kernel to read graphs, configurations and the ranges of the weights. Returns before they are read.

    Files of components that have artifacts are read ahead when it is known which one is opened.
    """
    unconditional = [
        component for component in components if not (isinstance(component, OnnxComponent) and component.artifacts)
    ]
    for component in unconditional:
        advise(models / component.main_file, [(0, 0)])
    for component in unconditional:
        advise_reads(models, component.byte_ranges)


def advise_reads(models: Path, reads: ByteRanges) -> None:
    for file, ranges in reads.items():
        advise(models / file, ranges)


def advise(path: Path, ranges: Iterable[tuple[int, int]]) -> None:
    """A length of 0 means to the end. Errors are ignored: reading the file later raises them."""
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
