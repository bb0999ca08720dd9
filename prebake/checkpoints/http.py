"""Files of a web server: one by its URL, or the members of a zip archive."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from prebake.checkpoints.archive import unpack
from prebake.checkpoints.delivery import Delivery, delivery_key, waiting
from prebake.checkpoints.partial import Partial
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.ranges import SEVERAL, Ranges
from prebake.checkpoints.source import RemoteFile, placed
from prebake.checkpoints.store import Store, Stored
from prebake.checkpoints.transfer import DOWNLOADS, Request, Transfer, download, open_client, shown
from prebake.errors import ChecksumMismatch, SourceError
from prebake.patience import Patience
from prebake.spec.sources import FromHttp


class Http:
    """``from: http``. The locator is an archive's member, or empty for the URL's own bytes."""

    def __init__(
        self, patience: Patience = DOWNLOADS, client: httpx.Client | None = None, *, ranges: Ranges = SEVERAL
    ) -> None:
        self._patience = patience
        self._client = client or open_client(self._patience, netrc=True)
        self._ranges = ranges

    def resolve(self, spec: FromHttp) -> list[RemoteFile]:
        if len(spec.files) > 1 and not spec.archive:
            raise SourceError(
                f"{shown(spec.url)} is one file, and `files` names {len(spec.files)}.",
                next_action="give each URL a source of its own, or say `archive: true` where it is a zip archive",
            )
        return [
            RemoteFile(placed(spec.to, file), f"http:{spec.url}", "", file if spec.archive else "")
            for file in spec.files
        ]

    def unit(self, file: RemoteFile) -> str:
        return file.source

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[Stored]:
        delivery = Delivery(Transfer(self._client, self._patience, progress, self._ranges), store)
        if all(not file.locator for file in unit):
            return [delivery.bring(file, Request(file.path, file.origin, file.size)) for file in unit]
        return self._unpack(unit, delivery)

    def _unpack(self, unit: Sequence[RemoteFile], delivery: Delivery) -> list[Stored]:
        url, store, progress = unit[0].origin, delivery.store, delivery.transfer.progress
        whole = RemoteFile(shown(url), unit[0].source, "", "")
        key = delivery_key(whole)
        with store.lock(key, waiting(store, key, whole.path, progress)), Partial(store.partial_path(key)) as partial:
            download(Request(whole.path, url), partial, delivery.transfer)
            try:
                stored = unpack(partial.path, unit, store, progress, where=shown(url))
            except (ChecksumMismatch, SourceError):
                partial.discard()
                raise
            partial.discard()
            return stored
