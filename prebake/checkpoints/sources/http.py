"""Files of a web server: one by its URL, or the members of a zip archive."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from prebake.checkpoints.download.download import HttpDownloader, download_key, report_other_process
from prebake.checkpoints.download.http_download import (
    DOWNLOAD_RETRY,
    HttpRequest,
    Transfer,
    download,
    open_client,
    redact_url,
)
from prebake.checkpoints.download.http_ranges import DEFAULT_RANGES, Ranges
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, target_path
from prebake.checkpoints.sources.zip_archive import unpack
from prebake.checkpoints.store.partial_file import PartialFile
from prebake.checkpoints.store.store import Store, StoredObject
from prebake.errors import ChecksumMismatch, SourceError
from prebake.io.retry import RetryPolicy
from prebake.spec.image.sources import FromHttp


class Http:
    """``from: http``. The locator is an archive's member, or empty for the URL's own bytes."""

    def __init__(
        self,
        retry_policy: RetryPolicy = DOWNLOAD_RETRY,
        client: httpx.Client | None = None,
        *,
        ranges: Ranges = DEFAULT_RANGES,
    ) -> None:
        self._retry_policy = retry_policy
        self._client = client or open_client(self._retry_policy, netrc=True)
        self._ranges = ranges

    def resolve(self, spec: FromHttp) -> list[RemoteFile]:
        if len(spec.files) > 1 and not spec.archive:
            raise SourceError(
                f"{redact_url(spec.url)} is one file, and `files` names {len(spec.files)}.",
                next_action="give each URL a source of its own, or set `archive: true` if it is a zip archive",
            )
        return [
            RemoteFile(target_path(spec.to, file), f"http:{spec.url}", "", file if spec.archive else "")
            for file in spec.files
        ]

    def unit(self, file: RemoteFile) -> str:
        return file.source

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[StoredObject]:
        downloader = HttpDownloader(Transfer(self._client, self._retry_policy, progress, self._ranges), store)
        if all(not file.locator for file in unit):
            return [downloader.bring(file, HttpRequest(file.path, file.origin, file.size)) for file in unit]
        return self._unpack(unit, downloader)

    def _unpack(self, unit: Sequence[RemoteFile], downloader: HttpDownloader) -> list[StoredObject]:
        url, store, progress = unit[0].origin, downloader.store, downloader.transfer.progress
        whole = RemoteFile(redact_url(url), unit[0].source, "", "")
        key = download_key(whole)
        with (
            store.lock(key, report_other_process(store, key, whole.path, progress)),
            PartialFile(store.partial_path(key)) as partial,
        ):
            download(HttpRequest(whole.path, url), partial, downloader.transfer)
            try:
                stored = unpack(partial.path, unit, store, progress, where=redact_url(url))
            except (ChecksumMismatch, SourceError):
                partial.discard()
                raise
            partial.discard()
            return stored
