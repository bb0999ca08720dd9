"""Makes the base image of a recipe with mmdebstrap, once; afterwards its archive in the cache serves every Engine."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from prebake import process
from prebake.disk import require_room
from prebake.engine import debian
from prebake.engine.archive import write_archive, write_layer
from prebake.engine.lock import locked
from prebake.engine.recipe import Recipe, architecture
from prebake.errors import BaseImageError, EngineUnavailable
from prebake.process import CommandFailed, Narrator, narrate

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ROOM = 700_000_000  # bytes: mmdebstrap's tree, its tar, the layer and the archive
# .pyc files that hold neither a time nor anything else of this machine, and are not looked at twice when read
_COMPILE = 'chroot "$1" python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3.11'


def archive_of(recipe: Recipe, cache: Path, say: Narrator = narrate) -> Path:
    """The recipe's image archive, ``<cache>/base/<key>.tar``, made now where it is not there yet.

    Raises BaseImageError where it cannot be made, NoRoom where the disk is too small.
    """
    archive = cache / "base" / f"{recipe.key}.tar"
    with locked(archive.with_suffix(".lock"), what=f"the base image {recipe.reference}", say=say):
        if not archive.exists():
            require_room(archive.parent, _ROOM, what="making the base image")
            _make(recipe, archive, say)
    return archive


def _make(recipe: Recipe, archive: Path, say: Narrator) -> None:
    say(f"base: making {recipe.reference} from Debian's packages")
    with tempfile.TemporaryDirectory(prefix="making-", dir=archive.parent) as folder:
        tree, whole = Path(folder) / "tree.tar", Path(folder) / "image.tar"
        try:
            _bootstrap(recipe, tree, say)
        except (CommandFailed, EngineUnavailable) as failed:
            raise _not_made(recipe, failed.message) from failed
        with tree.open("rb") as source:
            layer = write_layer(source, Path(folder) / "layer.tar.gz", recipe.keeps)
        digest = write_archive(
            layer,
            whole,
            reference=recipe.reference,
            config={"Env": [f"PATH={PATH}"], "Cmd": ["python3"]},
            architecture=architecture(),
            made_by=f"mmdebstrap {recipe.suite} {' '.join(recipe.packages)}",
        )
        whole.rename(archive)
    say(f"base: {digest}, {layer.unpacked / 1e6:.0f} MB unpacked, {layer.size / 1e6:.0f} MB packed")


def _bootstrap(recipe: Recipe, tree: Path, say: Narrator) -> None:
    if shutil.which("mmdebstrap") is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise _not_made(recipe, "mmdebstrap is not installed")
        debian.install(["mmdebstrap"], say)
    command = ["mmdebstrap", "--quiet", "--variant=essential", "--format=tar", f"--include={','.join(recipe.packages)}"]
    hook = f"--customize-hook={_COMPILE}"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0", "LC_ALL": "C.UTF-8"}
    process.run(
        [*command, hook, recipe.suite, tree, *_lines(recipe.suite, say)], env=environment, say=say, timeout=1800
    )


def _lines(suite: str, say: Narrator) -> list[str]:
    """apt's lines for the recipe's suite, on the mirrors that this machine uses for its own."""
    own = debian.release()["VERSION_CODENAME"]
    return [f"deb {source.mirror} {source.codename.replace(own, suite)} main" for source in debian.sources(say)]


def _not_made(recipe: Recipe, why: str) -> BaseImageError:
    return BaseImageError(
        f"no base image {recipe.reference}: {why}",
        next_action="run on Debian as root, install mmdebstrap, or give --base an image that the Engine has",
    )
