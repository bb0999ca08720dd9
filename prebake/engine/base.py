"""The image that everything else stands on: a pinned reference where it can be had, else one made from Debian's
packages."""

from __future__ import annotations

import hashlib
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from docker.errors import DockerException
from requests import RequestException

from prebake import process
from prebake.disk import cache_folder
from prebake.engine.archive import read_digest
from prebake.engine.bootstrap import archive_of
from prebake.engine.connection import Connection
from prebake.engine.images import find_image, has_image, inspect_image
from prebake.engine.recipe import Recipe
from prebake.engine.tags import tag_image
from prebake.errors import BaseImageError
from prebake.process import CommandFailed, Narrator, narrate

BaseKind = Literal["pinned", "bootstrap"]
_CHECK_SECONDS = 10.0
_FORGET_SECONDS = 3600.0  # how long a registry that did not answer is not asked again
_PULL_SECONDS = 1800.0


@dataclass(frozen=True)
class Base:
    """A base image that the Engine has now. ``reference`` is what ``FROM`` takes; ``size`` is in bytes, unpacked."""

    reference: str
    digest: str
    kind: BaseKind
    size: int


def resolve_base(
    connection: Connection, reference: str, choice: str = "auto", *, cache: Path | None = None, say: Narrator = narrate
) -> Base:
    """Have a base image in the Engine.

    ``choice`` is ``auto`` (``reference`` where the Engine has it or can pull it, else bootstrap), ``bootstrap``, or
    another reference, which is taken or nothing. Raises BaseImageError where it cannot be had.
    """
    if choice == "bootstrap":
        return bootstrapped(connection, cache=cache, say=say)
    wanted = reference if choice == "auto" else choice
    silence = (cache or cache_folder()) / "base" / f"silent-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    if found := _find(connection, wanted, "pinned"):
        return found
    problem = _pull(connection, wanted, say, silence if choice == "auto" else None)
    if problem is None:
        return _describe(connection, wanted, "pinned")
    if choice != "auto":
        raise BaseImageError(
            f"no base image {wanted}: {problem}", next_action="give --base bootstrap, or an image that the Engine has"
        )
    say(f"base: {wanted} cannot be had ({problem}); making one")
    return bootstrapped(connection, cache=cache, say=say)


def known_base(connection: Connection, reference: str, choice: str = "auto") -> Base | None:
    """The base that ``resolve_base`` would take of what the Engine has; nothing is pulled or made."""
    made = Recipe().reference
    wanted = {"auto": (reference, made), "bootstrap": (made,)}.get(choice, (choice,))
    found = (_find(connection, each, "bootstrap" if each == made else "pinned") for each in wanted)
    return next((each for each in found if each), None)


def bootstrapped(
    connection: Connection, recipe: Recipe | None = None, *, cache: Path | None = None, say: Narrator = narrate
) -> Base:
    """The recipe's image, in the Engine already, or loaded from the cache's archive, or made now."""
    recipe = recipe or Recipe()
    if found := _find(connection, recipe.reference, "bootstrap"):
        return found
    archive = archive_of(recipe, cache or cache_folder(), say)
    _load(connection, archive, say)
    if not has_image(connection, recipe.reference):  # the containerd store takes names from an archive with a host only
        tag_image(connection, read_digest(archive), recipe.reference)
    say(f"base: loaded {recipe.reference} ({read_digest(archive)})")
    return _describe(connection, recipe.reference, "bootstrap")


def _load(connection: Connection, archive: Path, say: Narrator) -> None:
    try:
        process.run([connection.cli, "load", "--quiet", "--input", archive], env=connection.env, say=say, timeout=600)
    except CommandFailed as failed:
        raise BaseImageError(
            f"the Engine does not load {archive}: {failed.message}", next_action=f"delete {archive} and try again"
        ) from failed


def resolve_digest(connection: Connection, reference: str) -> str:
    """The digest (``sha256:…``) that a reference has at its registry now. Raises BaseImageError where it does not tell."""
    try:
        with closing(connection.client(seconds=_CHECK_SECONDS)) as client:
            return str(client.images.get_registry_data(reference).id)
    except (RequestException, DockerException) as error:
        why = str(getattr(error, "explanation", "") or error)
        raise BaseImageError(
            f"no digest of {reference}: {why}", next_action="run it where the image's registry can be reached"
        ) from error


def _pull(connection: Connection, reference: str, say: Narrator, silence: Path | None = None) -> str | None:
    """Have the Engine pull ``reference``; otherwise why it cannot.

    The registry is asked shortly before anything is pulled, and one that kept silent not again for an hour: ``silence``
    is the file that remembers it.
    """
    if silence and silence.exists() and time.time() - silence.stat().st_mtime < _FORGET_SECONDS:
        return "its registry did not answer within the last hour"
    try:
        with closing(connection.client(seconds=_CHECK_SECONDS)) as client:
            client.images.get_registry_data(reference)
        process.run([connection.cli, "pull", "--quiet", reference], env=connection.env, say=say, timeout=_PULL_SECONDS)
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
