"""A copy of what a provider has to write beside: the image's own files stay as they were baked."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from entrypoints.ladder import Rung, Unopened


@contextmanager
def in_scratch(models: Path, rung: Rung, options: Mapping[str, str]) -> Iterator[Rung]:
    """The rung as it is opened from a copy of its scratch folder, while the block lasts; ``options`` are given besides.

    Raises Unopened where there is no folder that may be written to.
    """
    assert rung.scratch is not None  # which who calls has seen  # noqa: S101
    folder = rung.scratch.folder
    try:
        copy = Path(tempfile.mkdtemp(prefix="prebake-"))
        for path in (models / folder).iterdir():
            shutil.copyfile(path, copy / path.name)  # without its mode: nobody may write to the image's
    except OSError as error:
        raise Unopened(f"there is no folder to write to, such as /tmp: {error}") from error
    try:
        own = rung.graph.startswith(f"{folder}/")
        graph = os.fspath(copy / rung.graph.removeprefix(f"{folder}/")) if own else rung.graph
        given = {**rung.options, **options, **dict.fromkeys(rung.scratch.options, os.fspath(copy))}
        yield rung._replace(graph=graph, options=given)
    finally:
        shutil.rmtree(copy, ignore_errors=True)
