"""A writable copy of a folder, for a provider that writes beside the files it reads: the image's files stay as they are."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entrypoints.manifest.values import Artifact, ScratchFolder
from entrypoints.runtime.fallback import OpenFailed


@contextmanager
def writable_copy(models: Path, artifact: Artifact, scratch: ScratchFolder) -> Iterator[Artifact]:
    """The artifact with the paths of a writable copy of its scratch folder. The copy lasts as long as the block.

    Raises OpenFailed if there is no writable folder.
    """
    try:
        copy = Path(tempfile.mkdtemp(prefix="prebake-"))
        for path in (models / scratch.folder).iterdir():
            shutil.copyfile(path, copy / path.name)  # without its mode: nobody may write to the image's files
    except OSError as error:
        raise OpenFailed(f"no folder is writable, such as /tmp: {error}") from error
    try:
        inside = artifact.graph.startswith(f"{scratch.folder}/")
        graph = os.fspath(copy / artifact.graph.removeprefix(f"{scratch.folder}/")) if inside else artifact.graph
        options = {**artifact.provider_options, **dict.fromkeys(scratch.option_names, os.fspath(copy))}
        yield artifact._replace(graph=graph, provider_options=options)
    finally:
        shutil.rmtree(copy, ignore_errors=True)
