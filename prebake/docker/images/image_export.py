"""An image that is read from the Engine: its config, and its layers as files, compressed or not as the Engine keeps them."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from docker.errors import APIError, ImageNotFound

from prebake.docker.connection import Connection
from prebake.errors import EngineError
from prebake.oci.layout.archive import DOCKER_SAVE_MANIFEST

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class SavedImage:
    """``layers`` are in the order of the config's diff ids; each may be compressed or not."""

    config: Mapping[str, Any]
    layers: tuple[Path, ...]


def save_image(connection: Connection, reference: str, folder: Path) -> SavedImage:
    """Unpack the output of ``docker save`` into ``folder``. Its ``manifest.json`` is the same with every image store.

    Raises EngineError if the Engine has no such image.
    """
    archive = folder / "saved.tar"
    with closing(connection.client()) as client, archive.open("wb") as file:
        try:
            for chunk in client.api.get_image(reference, chunk_size=_CHUNK_BYTES):
                file.write(chunk)
        except (ImageNotFound, APIError) as error:
            raise EngineError(
                f"The Engine does not save {reference}: {error}.", next_action="build it first"
            ) from error
    with tarfile.open(archive) as tree:
        (entry,) = json.loads(_read(tree, DOCKER_SAVE_MANIFEST))
        config = json.loads(_read(tree, entry["Config"]))
        layers = tuple(folder / f"layer-{number}" for number in range(len(entry["Layers"])))
        for name, path in zip(entry["Layers"], layers, strict=True):
            # Without tarfile's filters, which Debian 12's Python 3.11 does not have.
            with _open(tree, name) as content, path.open("wb") as file:
                shutil.copyfileobj(content, file, _CHUNK_BYTES)
    archive.unlink()
    return SavedImage(config, layers)


def _read(tree: tarfile.TarFile, name: str) -> bytes:
    with _open(tree, name) as member:
        return member.read()


def _open(tree: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        member = tree.extractfile(name)
    except KeyError:
        member = None
    if member is None:
        raise EngineError(f"The Engine's archive of the image has no {name}.", next_action="try `docker save` by hand")
    return member
