"""Makes the Debian base image of a recipe with mmdebstrap. Its archive in the cache folder then serves every Engine."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from prebake.bootstrap import debian_packages
from prebake.bootstrap.base_layer import write_base_layer
from prebake.bootstrap.base_recipe import Recipe
from prebake.errors import BaseImageError, EngineUnavailable
from prebake.io import subprocesses
from prebake.io.disk_space import require_room
from prebake.io.file_lock import hold_lock, log_wait
from prebake.io.log import Log, log_to_stderr
from prebake.io.os_release import read_os_release
from prebake.io.subprocesses import CommandFailed
from prebake.oci.layout.archive import write_layout_tar
from prebake.oci.layout.assembly import BaseImage, ImageLayer, assemble
from prebake.oci.platforms import host_architecture

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NEEDED_BYTES = 800_000_000  # mmdebstrap's tree, its tar, the layer plain and packed, and the archive
_BOOTSTRAP_SECONDS = 1800
# .pyc files that hold nothing of this machine and no time, and that Python does not compare with their sources
_COMPILE = 'chroot "$1" python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3.11'


def ensure_archive(recipe: Recipe, cache: Path, log: Log = log_to_stderr) -> Path:
    """The recipe's image as an archive for ``docker load``, ``<cache>/base/<key>.tar``. It is made if it is missing.

    Raises BaseImageError if it cannot be made, NoRoom if the disk is too small.
    """
    archive = cache / "base" / f"{recipe.key}.tar"
    with hold_lock(archive.with_suffix(".lock"), log_wait(log, f"the base image {recipe.reference}")):
        if not archive.exists():
            require_room(archive.parent, _NEEDED_BYTES, what="making the base image")
            _make_archive(recipe, archive, log)
    return archive


def _make_archive(recipe: Recipe, archive: Path, log: Log) -> None:
    log(f"base: making {recipe.reference} from Debian's packages")
    with tempfile.TemporaryDirectory(prefix="making-", dir=archive.parent) as folder:
        layer = _make_layer(recipe, Path(folder), log)
        base = BaseImage(config={"architecture": host_architecture(), "os": "linux"}, layers=())
        config = {"Env": [f"PATH={PATH}"], "Cmd": ["python3"]}
        image = assemble(base, [layer], lambda _: config, annotations={})
        write_layout_tar(image, archive, reference=recipe.reference)
    log(f"base: {image.digest}, {layer.unpacked / 1e6:.0f} MB unpacked, {layer.blob.size / 1e6:.0f} MB packed")


def _make_layer(recipe: Recipe, folder: Path, log: Log) -> ImageLayer:
    tree = folder / "tree.tar"
    try:
        _bootstrap(recipe, tree, log)
    except (CommandFailed, EngineUnavailable) as failed:
        raise _base_error(recipe, failed.message) from failed
    with tree.open("rb") as source:
        created_by = f"mmdebstrap {recipe.suite} {' '.join(recipe.packages)}"
        return write_base_layer(source, folder, recipe.keeps, created_by=created_by)


def _bootstrap(recipe: Recipe, tree: Path, log: Log) -> None:
    if shutil.which("mmdebstrap") is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise _base_error(recipe, "mmdebstrap is not installed")
        debian_packages.install(["mmdebstrap"], log)
    options = ["--quiet", "--variant=essential", "--format=tar", f"--include={','.join(recipe.packages)}"]
    command: list[str | Path] = ["mmdebstrap", *options, f"--customize-hook={_COMPILE}", recipe.suite, tree]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0", "LC_ALL": "C.UTF-8"}
    lines = _source_lines(recipe.suite, log)
    subprocesses.run([*command, *lines], env=environment, log=log, timeout=_BOOTSTRAP_SECONDS)


def _source_lines(suite: str, log: Log) -> list[str]:
    """apt source lines of the recipe's suite, on the mirrors that this machine uses for its own suite."""
    host_suite = read_os_release()["VERSION_CODENAME"]
    return [
        f"deb {source.mirror} {source.codename.replace(host_suite, suite)} main"
        for source in debian_packages.sources(log)
    ]


def _base_error(recipe: Recipe, reason: str) -> BaseImageError:
    return BaseImageError(
        f"The base image {recipe.reference} cannot be made: {reason}.",
        next_action="run on Debian as root, install mmdebstrap, or give --base an image that the Engine has",
    )
