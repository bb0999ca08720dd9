"""Which builder a build uses: the Engine's own, or the one that BUILDX_BUILDER names."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from docker.errors import DockerException

from prebake import process
from prebake.engine.connection import Connection
from prebake.engine.images import find_image
from prebake.errors import BuilderUnfit

OWN = "default"
_OF_ENGINE = "docker"
_LOCAL = "docker-image://"


@dataclass(frozen=True)
class BuildxBuilder:
    """``driver`` is buildx's word: ``docker`` is an Engine's own BuildKit; the others (``docker-container``, ``kubernetes``,
    ``remote``) know none of the Engine's images."""

    name: str = OWN
    driver: str = _OF_ENGINE

    @property
    def sees_images(self) -> bool:
        """Whether ``FROM`` can name an image that only the Engine has."""
        return self.driver == _OF_ENGINE


def find_builder(connection: Connection, environ: Mapping[str, str] = os.environ) -> BuildxBuilder:
    """The builder of BUILDX_BUILDER; the Engine's own if it names none.

    Raises BuilderUnfit if there is no such builder, or if it is another Engine's own: what that builds stays there.
    """
    name = environ.get("BUILDX_BUILDER", "")
    if name in ("", OWN):
        return BuildxBuilder()
    found = process.run(
        [connection.cli, "buildx", "inspect", "--bootstrap", name],
        env=builder_environment(connection),
        check=False,
        timeout=300,
    )
    fields = dict(line.split(":", 1) for line in found.stdout.splitlines() if ":" in line and not line.startswith(" "))
    driver = fields.get("Driver", "").strip()
    if found.exit_code or not driver:
        raise BuilderUnfit(
            f"BUILDX_BUILDER names the builder {name}, which cannot be used: {_last(found.stderr)}",
            next_action="see `docker buildx ls`, or unset BUILDX_BUILDER: the Engine's own builder is used then",
        )
    if driver == _OF_ENGINE:
        _require_same_engine(connection, name)
    return BuildxBuilder(name, driver)


def builder_environment(connection: Connection, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for buildx, in which it knows the user's builders: a private Engine has a configuration of its own."""
    own = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or Path.home(), ".docker"), "buildx")
    elsewhere = connection.config is not None and not environ.get("BUILDX_CONFIG") and own.is_dir()
    return (
        {**connection.env, "BUILDX_CONFIG": str(own)} if elsewhere and environ.get("BUILDX_BUILDER") else connection.env
    )


def _require_same_engine(connection: Connection, name: str) -> None:
    """A builder of the driver ``docker`` is called like the context of its Engine."""
    command = (connection.cli, "context", "inspect", name, "--format", "{{json .Endpoints.docker.Host}}")
    kept = {key: value for key, value in connection.env.items() if key != "DOCKER_HOST"}
    found = process.run(command, env=kept, check=False, timeout=20)
    host = json.loads(found.stdout) if found.exit_code == 0 and found.stdout.strip() else ""
    if host != connection.host:
        raise BuilderUnfit(
            f"BUILDX_BUILDER names {name}, the builder inside the Engine at {host or 'an unknown address'}; this build"
            f" uses the Engine at {connection.host}, which would not get the image.",
            next_action=f"set DOCKER_CONTEXT={name} to use that Engine, or unset BUILDX_BUILDER",
        )


def as_layout(connection: Connection, reference: str, folder: Path) -> str | None:
    """An image of the Engine as an OCI layout in ``folder``, in the words of a named context; None if the Engine lacks it, so
    that a builder has to pull it.

    Raises BuilderUnfit if the Engine (before Docker 25) saves no OCI layout.
    """
    if find_image(connection, reference) is None:
        return None
    archive = folder / "image.tar"
    folder.mkdir(parents=True, exist_ok=True)
    with closing(connection.client(seconds=600)) as client, archive.open("wb") as file:
        try:
            for chunk in client.api.get_image(reference, chunk_size=1 << 20):
                file.write(chunk)
        except DockerException as error:
            raise _not_saved(reference, str(error)) from error
    layout = folder / "layout"
    with tarfile.open(archive) as tree:
        for member in tree:
            if member.isfile() and ".." not in member.name.split("/"):
                _write(tree, member, layout / member.name)
    archive.unlink()
    index = layout / "index.json"
    if not index.is_file():
        raise _not_saved(reference, "it is no OCI layout")
    return f"oci-layout://{layout}@{json.loads(index.read_text())['manifests'][0]['digest']}"


def local_image(context: Path | str) -> str | None:
    """The reference of a named context that is an image."""
    return context.removeprefix(_LOCAL) if isinstance(context, str) and context.startswith(_LOCAL) else None


def _write(tree: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = tree.extractfile(member)
    path.parent.mkdir(parents=True, exist_ok=True)
    if source is not None:
        with source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)


def _not_saved(reference: str, why: str) -> BuilderUnfit:
    return BuilderUnfit(
        f"the builder of BUILDX_BUILDER needs {reference} from the Engine, which does not hand it over: {why}",
        next_action="unset BUILDX_BUILDER, or use an Engine of Docker 25 or newer",
    )


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["buildx says nothing"])[-1]
