"""An image out of the Engine: its config, and its layers as files, in the form in which the Engine keeps them."""

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

from prebake.engine.connection import Connection
from prebake.errors import EngineError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Saved:
    """``layers`` are in the order of the config's diff ids; each may be packed or not."""

    config: Mapping[str, Any]
    layers: tuple[Path, ...]


def save_image(connection: Connection, reference: str, folder: Path) -> Saved:
    """What ``docker save`` gives, taken apart in ``folder``: its ``manifest.json`` says the same with every image store.

    Raises EngineError where the Engine has no such image.
    """
    archive = folder / "saved.tar"
    with closing(connection.client()) as client, archive.open("wb") as file:
        try:
            for chunk in client.api.get_image(reference, chunk_size=_CHUNK):
                file.write(chunk)
        except (ImageNotFound, APIError) as error:
            raise EngineError(f"the Engine does not save {reference}: {error}", next_action="build it first") from error
    with tarfile.open(archive) as tree:
        (entry,) = json.loads(_read(tree, "manifest.json"))
        config = json.loads(_read(tree, entry["Config"]))
        layers = tuple(folder / f"layer-{number}" for number in range(len(entry["Layers"])))
        for name, path in zip(entry["Layers"], layers, strict=True):
            # By hand: tarfile's own filters are not in every Python 3.11, Debian 12's among them.
            with _open(tree, name) as content, path.open("wb") as file:
                shutil.copyfileobj(content, file, _CHUNK)
    archive.unlink()
    return Saved(config, layers)


def _read(tree: tarfile.TarFile, name: str) -> bytes:
    with _open(tree, name) as member:
        return member.read()


def _open(tree: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        member = tree.extractfile(name)
    except KeyError:
        member = None
    if member is None:
        raise EngineError(f"what the Engine saved has no {name}", next_action="try `docker save` by hand")
    return member
