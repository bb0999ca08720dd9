"""The builder of a build: the Engine's own, or that of BUILDX_BUILDER."""

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

from prebake.docker.connection import Connection
from prebake.docker.images.images import find_image
from prebake.errors import BuilderUnfit
from prebake.io import subprocesses

DEFAULT_BUILDER = "default"
_OF_ENGINE = "docker"
_LOCAL = "docker-image://"


@dataclass(frozen=True)
class BuildxBuilder:
    """``driver`` is buildx' term: ``docker`` is an Engine's own BuildKit; builders of the others (``docker-container``,
    ``kubernetes``, ``remote``) cannot see the Engine's images."""

    name: str = DEFAULT_BUILDER
    driver: str = _OF_ENGINE

    @property
    def sees_images(self) -> bool:
        """Whether ``FROM`` may name an image that only the Engine has."""
        return self.driver == _OF_ENGINE


def find_builder(connection: Connection, environ: Mapping[str, str] = os.environ) -> BuildxBuilder:
    """The builder of BUILDX_BUILDER, or the Engine's own if that is not set.

    Raises BuilderUnfit if there is no such builder, or if it is another Engine's own, whose images stay there.
    """
    name = environ.get("BUILDX_BUILDER", "")
    if name in ("", DEFAULT_BUILDER):
        return BuildxBuilder()
    ended = subprocesses.run(
        [connection.cli, "buildx", "inspect", "--bootstrap", name],
        env=builder_environment(connection),
        check=False,
        timeout=300,
    )
    fields = dict(line.split(":", 1) for line in ended.stdout.splitlines() if ":" in line and not line.startswith(" "))
    driver = fields.get("Driver", "").strip()
    if ended.exit_code or not driver:
        raise BuilderUnfit(
            f"BUILDX_BUILDER is {name}, and this builder cannot be used: {_last_line(ended.stderr)}",
            next_action="see `docker buildx ls`, or unset BUILDX_BUILDER to use the Engine's own builder",
        )
    if driver == _OF_ENGINE:
        _require_same_engine(connection, name)
    return BuildxBuilder(name, driver)


def builder_environment(connection: Connection, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment in which buildx finds the user's builders, although a private Engine has its own configuration folder."""
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or Path.home(), ".docker"), "buildx")
    elsewhere = connection.config is not None and not environ.get("BUILDX_CONFIG") and folder.is_dir()
    return (
        {**connection.env, "BUILDX_CONFIG": str(folder)}
        if elsewhere and environ.get("BUILDX_BUILDER")
        else connection.env
    )


def _require_same_engine(connection: Connection, name: str) -> None:
    """A builder with the driver ``docker`` has the name of its Engine's context."""
    command = (connection.cli, "context", "inspect", name, "--format", "{{json .Endpoints.docker.Host}}")
    environment = {key: value for key, value in connection.env.items() if key != "DOCKER_HOST"}
    ended = subprocesses.run(command, env=environment, check=False, timeout=20)
    host = json.loads(ended.stdout) if ended.exit_code == 0 and ended.stdout.strip() else ""
    if host != connection.host:
        raise BuilderUnfit(
            f"BUILDX_BUILDER is {name}, the builder inside the Engine at {host or 'an unknown address'}. This build uses the"
            f" Engine at {connection.host}, which would not get the image.",
            next_action=f"set DOCKER_CONTEXT={name} to use that Engine, or unset BUILDX_BUILDER",
        )


def export_layout(connection: Connection, reference: str, folder: Path) -> str | None:
    """Write an image of the Engine as an OCI layout into ``folder``, and return it as a named context; None if the Engine lacks
    the image, so that the builder has to pull it.

    Raises BuilderUnfit if the Engine does not save OCI layouts, as before Docker 25.
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
            raise _save_error(reference, str(error)) from error
    layout = folder / "layout"
    with tarfile.open(archive) as tree:
        for member in tree:
            if member.isfile() and ".." not in member.name.split("/"):
                _write(tree, member, layout / member.name)
    archive.unlink()
    index = layout / "index.json"
    if not index.is_file():
        raise _save_error(reference, "its archive is not an OCI layout")
    return f"oci-layout://{layout}@{json.loads(index.read_text())['manifests'][0]['digest']}"


def local_image(context: Path | str) -> str | None:
    """The reference of a named context that is an image; else None."""
    return context.removeprefix(_LOCAL) if isinstance(context, str) and context.startswith(_LOCAL) else None


def _write(tree: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = tree.extractfile(member)
    path.parent.mkdir(parents=True, exist_ok=True)
    if source is not None:
        with source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)


def _save_error(reference: str, reason: str) -> BuilderUnfit:
    return BuilderUnfit(
        f"The builder of BUILDX_BUILDER needs {reference}, but the Engine cannot save it: {reason}",
        next_action="unset BUILDX_BUILDER, or use an Engine of Docker 25 or newer",
    )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["buildx printed nothing"])[-1]
