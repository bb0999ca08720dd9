"""The base image of a build: the pinned one if the Engine has it or can pull it, else one made from Debian's packages.

The latter is made by ``prebake.bootstrap``. Its recipe is imported here, since its name has to be known; the code that
makes it is imported when an image has to be made.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from docker.errors import DockerException
from requests import RequestException

from prebake.bootstrap.base_recipe import Recipe
from prebake.docker.connection import Connection
from prebake.docker.images.images import find_image, inspect_image
from prebake.errors import BaseImageError
from prebake.io import subprocesses
from prebake.io.cache_folder import cache_folder
from prebake.io.log import Log, log_to_stderr
from prebake.io.subprocesses import CommandFailed

BaseKind = Literal["pinned", "bootstrap"]
_CHECK_SECONDS = 10.0
_RECHECK_SECONDS = 3600.0  # after which a registry that did not answer is asked again
_PULL_SECONDS = 1800.0


@dataclass(frozen=True)
class Base:
    """A base image that the Engine has. ``reference`` is the name for ``FROM``; ``size`` is in bytes, unpacked."""

    reference: str
    digest: str
    kind: BaseKind
    size: int


def resolve_base(
    connection: Connection, reference: str, choice: str = "auto", *, cache: Path | None = None, log: Log = log_to_stderr
) -> Base:
    """Get a base image into the Engine.

    ``choice`` is ``auto`` (``reference`` if the Engine has it or can pull it, else bootstrap), ``bootstrap`` (the Debian
    base), or another reference. Raises BaseImageError if the Engine cannot get it.
    """
    if choice == "bootstrap":
        return ensure_debian_base(connection, cache=cache, log=log)
    name = reference if choice == "auto" else choice
    silence = (cache or cache_folder()) / "base" / f"silent-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    if base := _find(connection, name, "pinned"):
        return base
    problem = _pull(connection, name, log, silence if choice == "auto" else None)
    if problem is None:
        return _describe(connection, name, "pinned")
    if choice != "auto":
        raise BaseImageError(
            f"The Engine cannot get the base image {name}: {problem}.",
            next_action="pass --base bootstrap, or --base with an image that the Engine has",
        )
    log(f"base: the Engine cannot get {name} ({problem}); making a base image from Debian's packages")
    return ensure_debian_base(connection, cache=cache, log=log)


def find_base_image(connection: Connection, reference: str, choice: str = "auto") -> Base | None:
    """The base that ``resolve_base`` would return, if the Engine has it; nothing is pulled or made."""
    debian = Recipe().reference
    names = {"auto": (reference, debian), "bootstrap": (debian,)}.get(choice, (choice,))
    bases = (_find(connection, name, "bootstrap" if name == debian else "pinned") for name in names)
    return next((base for base in bases if base), None)


def ensure_debian_base(
    connection: Connection, recipe: Recipe | None = None, *, cache: Path | None = None, log: Log = log_to_stderr
) -> Base:
    """The recipe's image, by default the Debian base. If the Engine lacks it, it is loaded from the cache's archive, or made."""
    recipe = recipe or Recipe()
    if known := _find(connection, recipe.reference, "bootstrap"):
        return known
    from prebake.bootstrap.debian_base import ensure_archive  # most builds find the image in the Engine

    _load(connection, ensure_archive(recipe, cache or cache_folder(), log), log)
    base = _describe(connection, recipe.reference, "bootstrap")
    log(f"base: loaded {base.reference} ({base.digest})")
    return base


def _load(connection: Connection, archive: Path, log: Log) -> None:
    try:
        subprocesses.run(
            [connection.cli, "load", "--quiet", "--input", archive], env=connection.env, log=log, timeout=600
        )
    except CommandFailed as failed:
        raise BaseImageError(
            f"The Engine does not load {archive}: {failed.message}", next_action=f"delete {archive} and try again"
        ) from failed


def resolve_digest(connection: Connection, reference: str) -> str:
    """The digest (``sha256:…``) of a reference at its registry. Raises BaseImageError if the registry does not answer with
    one."""
    try:
        with closing(connection.client(seconds=_CHECK_SECONDS)) as client:
            return str(client.images.get_registry_data(reference).id)
    except (RequestException, DockerException) as error:
        reason = str(getattr(error, "explanation", "") or error)
        raise BaseImageError(
            f"The registry sent no digest of {reference}: {reason}.",
            next_action="run it on a machine that can reach the image's registry",
        ) from error


def _pull(connection: Connection, reference: str, log: Log, silence: Path | None = None) -> str | None:
    """Have the Engine pull ``reference``. Returns the reason if it cannot, else None.

    The registry is asked for the image's digest first, with a short timeout. If it does not answer, the file ``silence`` is
    written, and the registry is not asked again for an hour.
    """
    if silence and silence.exists() and time.time() - silence.stat().st_mtime < _RECHECK_SECONDS:
        return "its registry did not answer within the last hour"
    try:
        with closing(connection.client(seconds=_CHECK_SECONDS)) as client:
            client.images.get_registry_data(reference)
        subprocesses.run(
            [connection.cli, "pull", "--quiet", reference], env=connection.env, log=log, timeout=_PULL_SECONDS
        )
    except RequestException:
        if silence:
            silence.parent.mkdir(parents=True, exist_ok=True)
            silence.touch()
        return f"its registry did not answer within {_CHECK_SECONDS:g} s"
    except DockerException as error:
        return str(getattr(error, "explanation", "") or error)
    except CommandFailed as failed:
        return failed.message
    return None


def _find(connection: Connection, reference: str, kind: BaseKind) -> Base | None:
    facts = find_image(connection, reference)
    return Base(reference, facts.digest, kind, facts.size) if facts else None


def _describe(connection: Connection, reference: str, kind: BaseKind) -> Base:
    facts = inspect_image(connection, reference)
    return Base(reference, facts.digest, kind, facts.size)
