"""What the Engine says of its images: while other processes remove some of them, and of names that it refuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from docker import DockerClient
from docker.errors import APIError, NotFound

from prebake.docker.connection import Connection
from prebake.docker.images.images import has_image, list_summaries

MISSING = {"message": "NotFound: content digest sha256:5bbd: not found"}
"""How Docker 28 with containerd's image store answers if an image is removed while it reads the list."""


@contextmanager
def engine(failures: int) -> Iterator[DockerClient]:
    """An Engine that fails that many requests for the list of images, and answers the others."""
    left = iter(range(failures))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fails = next(left, None) is not None
            body = json.dumps(MISSING if fails else [{"Id": "sha256:1", "RepoTags": ["a:b"]}]).encode()
            self.send_response(404 if fails else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = DockerClient(base_url=f"tcp://127.0.0.1:{server.server_port}", version="1.51")
        try:
            yield client
        finally:
            client.close()
            server.shutdown()


def test_the_list_is_asked_for_again_while_images_go() -> None:
    with engine(failures=3) as client:
        assert [image["RepoTags"] for image in list_summaries(client)] == [["a:b"]]


def test_an_engine_that_always_fails_is_not_asked_forever() -> None:
    with engine(failures=1000) as client, pytest.raises(NotFound):
        list_summaries(client)


@contextmanager
def refusing_engine(status: int, message: str) -> Iterator[Connection]:
    """An Engine that refuses every question for an image."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asks_version = self.path == "/version"
            body = json.dumps({"ApiVersion": "1.51"} if asks_version else {"message": message}).encode()
            self.send_response(200 if asks_version else status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Connection(f"tcp://127.0.0.1:{server.server_port}", Path("docker"))
        finally:
            server.shutdown()


@pytest.mark.parametrize("name", ["HEAD~1", "v1.0^{}", "feature/Faster"])
def test_a_text_that_is_no_images_name_is_no_image(name: str) -> None:
    with refusing_engine(400, "invalid reference format") as connection:
        assert not has_image(connection, name)


def test_an_engine_that_fails_is_not_an_engine_without_the_image() -> None:
    with refusing_engine(500, "out of order") as connection, pytest.raises(APIError, match="out of order"):
        has_image(connection, "a:b")
