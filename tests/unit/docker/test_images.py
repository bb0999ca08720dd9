"""What the Engine says of its images: while other processes remove some of them, and of names that it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest
from docker import DockerClient
from docker.errors import APIError, NotFound

from prebake.docker.connection import Connection
from prebake.docker.images.images import has_image, list_summaries
from tests.support.engines.stub_engine import stub_engine

MISSING = {"message": "NotFound: content digest sha256:5bbd: not found"}
"""How Docker 28 with containerd's image store answers if an image is removed while it reads the list."""


@contextmanager
def engine(failures: int) -> Iterator[DockerClient]:
    """An Engine that fails that many requests for the list of images, and answers the others."""
    left = iter(range(failures))

    def answer(path: str) -> tuple[int, object]:
        fails = next(left, None) is not None
        return (404, MISSING) if fails else (200, [{"Id": "sha256:1", "RepoTags": ["a:b"]}])

    with stub_engine(answer) as connection, closing(connection.client()) as client:
        yield client


def test_the_list_is_asked_for_again_while_images_go() -> None:
    with engine(failures=3) as client:
        assert [image["RepoTags"] for image in list_summaries(client)] == [["a:b"]]


def test_an_engine_that_always_fails_is_not_asked_forever() -> None:
    with engine(failures=1000) as client, pytest.raises(NotFound):
        list_summaries(client)


def refusing_engine(status: int, message: str) -> AbstractContextManager[Connection]:
    """An Engine that refuses every question for an image."""
    return stub_engine(lambda path: (status, {"message": message}))


@pytest.mark.parametrize("name", ["HEAD~1", "v1.0^{}", "feature/Faster"])
def test_a_text_that_is_no_images_name_is_no_image(name: str) -> None:
    with refusing_engine(400, "invalid reference format") as connection:
        assert not has_image(connection, name)


def test_an_engine_that_fails_is_not_an_engine_without_the_image() -> None:
    with refusing_engine(500, "out of order") as connection, pytest.raises(APIError, match="out of order"):
        has_image(connection, "a:b")
