"""Names of images at the Engine."""

from __future__ import annotations

from contextlib import closing

from docker.errors import APIError, ImageNotFound
from docker.utils import parse_repository_tag

from prebake.docker.connection import Connection
from prebake.docker.images.images import list_summaries
from prebake.errors import EngineError


def tag_image(connection: Connection, reference: str, name: str) -> None:
    """Give an image another name, which another image loses if it has it. Raises EngineError if there is no such image."""
    repository, tag = parse_repository_tag(name)
    with closing(connection.client()) as client:
        try:
            client.images.get(reference).tag(repository, tag)
        except (ImageNotFound, APIError) as error:
            raise EngineError(
                f"The Engine does not tag {reference} as {name}: {error}", next_action="see `docker images`"
            ) from error


def remove_tag(connection: Connection, name: str) -> None:
    """Remove a name; the image is removed with its last one. Nothing happens if there is no such name."""
    with closing(connection.client()) as client:
        try:
            client.images.remove(name, noprune=True)
        except ImageNotFound:
            return
        except APIError as error:
            raise EngineError(
                f"The Engine does not remove {name}: {error}", next_action="see `docker ps`: a container may use it"
            ) from error


def list_tags(connection: Connection, repository: str) -> frozenset[str]:
    """The names ``REPOSITORY:TAG`` of the Engine's images in one repository."""
    with closing(connection.client()) as client:
        try:
            summaries = list_summaries(client, reference=repository)
        except APIError as error:
            raise EngineError(f"The Engine does not list its images: {error}", next_action="run it again") from error
    names = (name for summary in summaries for name in summary["RepoTags"] or ())
    return frozenset(name for name in names if name.startswith(f"{repository}:"))
