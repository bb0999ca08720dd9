"""The hub's fast path: the package hf_xet downloads files in Xet storage as deduplicated chunks over many connections.

Prebake asks the hub for the headers of a file and for a token, as https://huggingface.co/docs/xet/index describes; the package
does the rest. If it fails, the file is downloaded, or its download continues, by HTTP.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

import httpx
from huggingface_hub import constants

from prebake.checkpoints.download.http_download import HttpRequest, redact_url
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.store.checksums import expect_size
from prebake.checkpoints.store.partial_file import PartialFile
from prebake.errors import PrebakeError
from prebake.io.http_errors import HTTPX_ERRORS
from prebake.io.retry import RetryPolicy

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_REDIRECTS = 5  # of renamed repositories, on the hub itself
_MEMORY = {  # bytes; with the package's defaults a download may use 1.5 GB, and all downloads of a process 6 GB
    "reconstruction.download_buffer_size": 512_000_000,
    "reconstruction.download_buffer_perfile_size": 128_000_000,
    "reconstruction.download_buffer_limit": 1_000_000_000,
}


@dataclass(frozen=True)
class _Place:
    """A file in Xet storage: ``digest`` is its Xet hash, ``tokens`` the hub's URL for tokens to read it."""

    digest: str
    tokens: str


class Xet:
    """Downloads files of at least ``least`` bytes. A smaller file takes less time than the lookup of its chunks."""

    def __init__(self, client: httpx.Client, retry_policy: RetryPolicy, *, least: int = 16 << 20) -> None:
        self._client = client
        self._retry_policy = retry_policy
        self._least = least
        self._session: Any = None
        self._lock = threading.Lock()

    def pull(self, request: HttpRequest, partial: PartialFile, progress: Progress) -> bool:
        """Complete ``partial`` if the file lies in Xet storage; False if it is not complete. Raises NoRoom, Interrupted, or
        ChecksumMismatch for another size."""
        if request.size is None or request.size - partial.done < max(1, self._least) or not _is_wanted():
            return False
        place = self._find(request)
        if place is None:
            return False
        try:
            self._stream(place, request, partial, progress)
        except PrebakeError:
            raise
        except Exception as error:  # the package's exceptions have no other common base class
            return self._give_up(request, partial, progress, _first_line(error))
        if partial.done == request.size:
            return True
        return self._give_up(request, partial, progress, f"it ended after {partial.done} of {request.size} bytes")

    def _give_up(self, request: HttpRequest, partial: PartialFile, progress: Progress, why: str) -> bool:
        partial.resumed = partial.done > 0
        progress.note(request.name, f"the hub's fast path (hf_xet) failed, continuing by HTTP: {why}")
        return False

    def _find(self, request: HttpRequest) -> _Place | None:
        """None if the file is not in Xet storage, or the hub does not answer; then the HTTP download reports the error."""
        url = httpx.URL(request.url)
        for _ in range(_REDIRECTS):
            try:
                response = self._client.head(url, headers=dict(request.headers), follow_redirects=False)
            except HTTPX_ERRORS:
                return None
            if constants.HUGGINGFACE_HEADER_X_XET_HASH in response.headers:
                return _read_place(response)
            target = url.join(response.headers.get("Location", ""))
            if not response.has_redirect_location or (target.host, target.port) != (url.host, url.port):
                return None
            url = target
        return None

    def _stream(self, place: _Place, request: HttpRequest, partial: PartialFile, progress: Progress) -> None:
        from hf_xet import XetFileInfo

        partial.resumed = partial.done > 0
        with self._open().new_download_stream_group(
            token_refresh_url=place.tokens, token_refresh_headers=dict(request.headers)
        ) as group:
            info = XetFileInfo(place.digest, request.size)
            for chunk in group.download_stream(info, start=partial.done or None):
                partial.write(chunk)
                if request.size is not None and partial.done > request.size:
                    expect_size(request.name, request.size, partial.done, origin=redact_url(request.url))
                progress.report(request.name, partial.done, request.size)

    def _open(self) -> Any:
        from hf_xet import XetConfig, XetSession

        with self._lock:
            if self._session is None:
                settings: dict[str, Any] = {
                    **_MEMORY,
                    "client.connect_timeout": timedelta(seconds=self._retry_policy.connect),
                    "client.read_timeout": timedelta(seconds=self._retry_policy.read),
                    "client.retry_base_delay": timedelta(seconds=self._retry_policy.initial_delay),
                    "client.retry_max_attempts": 2,
                    "telemetry.enabled": not constants.HF_HUB_DISABLE_TELEMETRY,
                }
                self._session = XetSession(XetConfig().with_config(settings))
            return self._session


def _is_wanted() -> bool:
    return not constants.HF_HUB_DISABLE_XET and find_spec("hf_xet") is not None


def _read_place(response: httpx.Response) -> _Place | None:
    """The URL for tokens must be at the hub (or mirror) that was asked, so that no other host gets the user's credentials."""
    digest = response.headers[constants.HUGGINGFACE_HEADER_X_XET_HASH]
    link = response.links.get(constants.HUGGINGFACE_HEADER_LINK_XET_AUTH_KEY, {}).get("url")
    tokens = link or response.headers.get(constants.HUGGINGFACE_HEADER_X_XET_REFRESH_ROUTE)
    if not tokens or not _HASH.fullmatch(digest):
        return None
    asked, home = response.request.url, constants.HUGGINGFACE_CO_URL_HOME.rstrip("/")
    if tokens.startswith(f"{home}/"):
        tokens = f"{asked.scheme}://{asked.netloc.decode()}{tokens.removeprefix(home)}"
    place = asked.join(tokens)
    ours = (place.scheme, place.host, place.port) == (asked.scheme, asked.host, asked.port)
    return _Place(digest, str(place)) if ours else None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
