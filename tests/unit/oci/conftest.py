"""A folder for a layout, and writers of one that stop half way."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from tests.support.registries.oci_writers import Stalled, stalled_writer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "layout"


@pytest.fixture
def stalled(tmp_path: Path) -> Stalled:
    """Starts writers of an image with these weights."""
    weights = tmp_path / "weights"
    weights.write_bytes(os.urandom(3 << 20))
    return functools.partial(stalled_writer, weights)
