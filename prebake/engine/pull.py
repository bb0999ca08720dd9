"""Images into the Engine: pulled from a registry on this machine's loopback, or loaded as an archive."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from docker.errors import APIError
from requests import RequestException
from requests.models import ProtocolError  # urllib3's, which docker-py lets through from a stream that breaks off

from prebake.engine.connection import Connection
from prebake.engine.tags import remove_tag, tag_image
from prebake.errors import EngineError

_UNREACHED = re.compile(r"dial tcp|Client\.Timeout exceeded|context deadline exceeded")  # Go's net and net/http
_SILENCE_SECONDS = 3600.0  # how long an Engine may unpack an archive without a word


class EngineCannotReach(EngineError):
    """The Engine gets no connection to the address that it is to pull from: it runs on another machine, or in a network
    namespace of its own."""


Report = Callable[[str, int, int | None], None]
"""Called with a layer's short name, the bytes of it that are here, and those that it has."""


def pull(connection: Connection, reference: str, report: Report | None = None) -> None:
    """Have the Engine pull ``HOST:PORT/NAME:TAG``, from which it takes only what it lacks.

    Raises EngineCannotReach, or EngineError with the Engine's words.
    """
    with closing(connection.client()) as client, _named(f"does not pull {reference}"):
        # no credentials: without the argument, docker-py would ask the user's credential helpers for some
        for line in client.api.pull(reference, stream=True, decode=True, auth_config={}):
            _expect_no_error(f"does not pull {reference}", line)
            if report is not None:
                _report(line, report)


def load_archive(connection: Connection, chunks: Iterable[bytes | memoryview]) -> None:
    """Stream an archive of an image, as ``docker load`` takes it, into the Engine; what ``chunks`` raises comes through.

    Raises EngineError with the Engine's words.
    """
    what, loaded = "does not load the image", False
    with closing(connection.client(seconds=_SILENCE_SECONDS)) as client, _named(what):
        api: Any = client.api
        for line in api.load_image(iter(chunks)):
            _expect_no_error(what, line)
            loaded = loaded or "Loaded image" in line.get("stream", "")
    if not loaded:
        raise _refused(what, "it found none in the archive")


def adopt(connection: Connection, reference: str, tag: str) -> None:
    """Name a pulled image ``tag``; the name that it was pulled under goes in any case. Raises EngineError."""
    try:
        tag_image(connection, reference, tag)
    finally:
        remove_tag(connection, reference)


@contextmanager
def _named(what: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        raise _refused(what, str(error.explanation or error)) from error
    except (RequestException, ProtocolError) as error:
        raise _refused(what, f"the connection to it broke ({error})") from error


def _report(line: Mapping[str, Any], report: Report) -> None:
    """One message of the Engine's stream (its API, "Create an image"). A small layer is complete without any before."""
    detail = line.get("progressDetail") or {}
    if line.get("status") == "Downloading" and "current" in detail:
        report(line.get("id", ""), detail["current"], detail.get("total"))


def _expect_no_error(what: str, line: Mapping[str, Any]) -> None:
    if "error" in line or "errorDetail" in line:
        raise _refused(what, str((line.get("errorDetail") or {}).get("message") or line.get("error")))


def _refused(what: str, reason: str) -> EngineError:
    if _UNREACHED.search(reason):
        return EngineCannotReach(f"the Engine {what}: {reason}", next_action="load the image as an archive instead")
    return EngineError(f"the Engine {what}: {reason}", next_action="see `docker info` and the Engine's log")
