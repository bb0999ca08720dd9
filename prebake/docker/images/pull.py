"""Images that the Engine pulls from a registry on loopback, or loads from an archive."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from docker.errors import APIError
from requests import RequestException
from requests.models import ProtocolError  # urllib3's, which docker-py lets through from a stream that breaks off

from prebake.docker.connection import Connection
from prebake.docker.images.tags import remove_tag, tag_image
from prebake.errors import EngineError

_NO_CONNECTION = re.compile(r"dial tcp|Client\.Timeout exceeded|context deadline exceeded")  # Go's net and net/http
_LOAD_SECONDS = 3600.0  # in which an Engine unpacks an archive without sending a byte


class EngineCannotReach(EngineError):
    """The Engine cannot connect to this machine's loopback: it runs on another machine, or in its own network
    namespace. The image is then loaded as an archive, so this error is seen only if that fails as well."""


Report = Callable[[str, int, int | None], None]
"""Called with a layer's short name, its bytes that have arrived, and all its bytes."""


def pull(connection: Connection, reference: str, report: Report | None = None) -> None:
    """Have the Engine pull ``HOST:PORT/NAME:TAG``; it requests only the blobs that it lacks.

    Raises EngineCannotReach, or EngineError with the Engine's message.
    """
    with closing(connection.client()) as client, _translate_errors(f"does not pull {reference}"):
        # no credentials: without this argument, docker-py would run the user's credential helpers
        for line in client.api.pull(reference, stream=True, decode=True, auth_config={}):
            _require_no_error(f"does not pull {reference}", line)
            if report is not None:
                _report(line, report)


def load_archive(connection: Connection, chunks: Iterable[bytes | memoryview]) -> None:
    """Send an image's archive to the Engine, as ``docker load`` does.

    Raises EngineError with the Engine's message, and the exceptions of ``chunks``.
    """
    problem, loaded = "does not load the image", False
    with closing(connection.client(seconds=_LOAD_SECONDS)) as client, _translate_errors(problem):
        api: Any = client.api
        for line in api.load_image(iter(chunks)):
            _require_no_error(problem, line)
            loaded = loaded or "Loaded image" in line.get("stream", "")
    if not loaded:
        raise _refused(problem, "it found no image in the archive")


def retag_pulled(connection: Connection, reference: str, tag: str) -> None:
    """Tag a pulled image as ``tag``, and remove the name under which it was pulled. Raises EngineError."""
    try:
        tag_image(connection, reference, tag)
    finally:
        remove_tag(connection, reference)


@contextmanager
def _translate_errors(what: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        raise _refused(what, str(error.explanation or error)) from error
    except (RequestException, ProtocolError) as error:
        raise _refused(what, f"the connection to it broke ({error})") from error


def _report(line: Mapping[str, Any], report: Report) -> None:
    """Report one message of the Engine's stream (its API, "Create an image"). Small layers have none."""
    detail = line.get("progressDetail") or {}
    if line.get("status") == "Downloading" and "current" in detail:
        report(line.get("id", ""), detail["current"], detail.get("total"))


def _require_no_error(what: str, line: Mapping[str, Any]) -> None:
    if "error" in line or "errorDetail" in line:
        raise _refused(what, str((line.get("errorDetail") or {}).get("message") or line.get("error")))


def _refused(what: str, reason: str) -> EngineError:
    if _NO_CONNECTION.search(reason):
        return EngineCannotReach(f"The Engine {what}: {reason}", next_action="load the image as an archive instead")
    return EngineError(f"The Engine {what}: {reason}", next_action="see `docker info` and the Engine's log")
