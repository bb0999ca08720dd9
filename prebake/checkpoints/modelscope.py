"""Files of a ModelScope repository, by its hub's own library: its endpoint, token and cache.

The hub publishes a sha256 for every file, and the commit that wrote it last, which is what a branch or tag is pinned to.
The library is an optional package (the extra ``modelscope``), so it is imported where it is needed.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from prebake.checkpoints.delivery import Delivery
from prebake.checkpoints.errors import unreachable, unusable
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, placed
from prebake.checkpoints.store import Store, Stored
from prebake.checkpoints.transfer import DOWNLOADS, Request, Transfer, open_client
from prebake.errors import ChecksumMismatch, SourceError
from prebake.http_failures import Failure, explain
from prebake.patience import Passing, Patience, Tries, persist
from prebake.process import narrate
from prebake.spec.sources import FromModelScope

if TYPE_CHECKING:
    from modelscope_hub import HubApi

_PERMISSION = (
    "set MODELSCOPE_API_TOKEN to a token that may read it, and accept the model's terms on its page if it asks"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class ModelScope:
    """``from: modelscope``."""

    def __init__(self, *, patience: Patience = DOWNLOADS, client: httpx.Client | None = None) -> None:
        self._patience = patience
        self._client = client or open_client(patience)
        self._opened: HubApi | None = None
        self._lock = threading.Lock()

    def resolve(self, spec: FromModelScope) -> list[RemoteFile]:
        where, published = self._published(spec)
        missing = [file for file in spec.files if file not in published]
        if missing:
            raise SourceError(f"{where} has no file {', '.join(missing)}.", next_action="correct `files` in image.yaml")
        return [_remote(spec, file, published[file]) for file in spec.files]

    def names(self, spec: FromModelScope) -> list[str]:
        return list(self._published(spec)[1])

    def unit(self, file: RemoteFile) -> str:
        return f"{file.source}:{file.revision}/{file.locator}"

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[Stored]:
        return [self._fetch(file, store, progress) for file in unit]

    def _published(self, spec: FromModelScope) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
        """How the repository is called in an error, and its files by path."""
        where = f"ModelScope's repository {spec.repository} at {spec.revision}"
        listed = persist(lambda: self._ask(spec, where), Tries(self._patience, where, narrate))
        return where, {str(entry["Path"]): entry for entry in listed if entry.get("Type") != "tree"}

    def _ask(self, spec: FromModelScope, where: str) -> list[Mapping[str, Any]]:
        hub = self._hub()
        with _named_failures(where):
            return list(hub.legacy.list_repo_files(spec.repository, "model", revision=spec.revision))

    def _fetch(self, file: RemoteFile, store: Store, progress: Progress) -> Stored:
        transfer = Transfer(self._client, self._patience, progress)
        return self._from_cache(file, store, progress) or Delivery(transfer, store).bring(file, self._request(file))

    def _from_cache(self, file: RemoteFile, store: Store, progress: Progress) -> Stored | None:
        """The file of the user's own cache, under the commit or the branch, if it is there and the right one."""
        found = next(filter(None, (self._cached(file, revision) for revision in _revisions(file))), None)
        if found is None or (
            file.sha256 is None and file.revision not in found.parts
        ):  # older layouts have no revisions
            return None
        try:
            stored = store.add_file(found.resolve(), sha256=file.sha256, name=file.path)
        except ChecksumMismatch:
            progress.note(file.path, f"{found} has another checksum; downloading instead")
            return None
        progress.report(file.path, stored.size, stored.size)
        return stored

    def _cached(self, file: RemoteFile, revision: str) -> Path | None:
        hub = self._hub()
        from modelscope_hub.errors import CacheNotFound

        try:
            repository = _repository(file)
            return hub.download_file(repository, "model", file.locator, revision=revision, local_files_only=True)
        except CacheNotFound:
            return None

    def _request(self, file: RemoteFile) -> Request:
        hub = self._hub()
        url = hub.legacy.get_download_url(_repository(file), "model", file.locator, file.revision)
        token = hub.legacy.token
        # Both, as the library sends them; httpx takes both off where the hub redirects to another host.
        headers = {"Authorization": f"Bearer {token}", "Cookie": f"m_session_id={token}"} if token else {}
        return Request(file.path, url, file.size, headers, _PERMISSION)

    def _hub(self) -> HubApi:
        with self._lock:
            if self._opened is None:
                self._opened = _open()
            return self._opened


def _open() -> HubApi:
    try:
        from modelscope_hub import HubApi
        from modelscope_hub.config import HubConfig
    except ImportError as error:
        raise SourceError(
            f"`from: modelscope` needs the package modelscope-hub, which {sys.executable} does not have.",
            next_action=f"{sys.executable} -m pip install modelscope-hub (the extra `prebake[modelscope]` names it)",
        ) from error
    return HubApi(HubConfig())


def _remote(spec: FromModelScope, file: str, entry: Mapping[str, Any]) -> RemoteFile:
    """A commit in image.yaml stays what it is; a branch or tag is followed to the commit that wrote the file."""
    given, wrote = spec.revision, str(entry.get("Revision") or "")
    pinned = given if _COMMIT.fullmatch(given) or not _COMMIT.fullmatch(wrote) else wrote
    source = f"modelscope:{spec.repository}" + ("" if _COMMIT.fullmatch(given) else f"@{given}")
    return RemoteFile(placed(spec.to, file), source, pinned, file, int(entry["Size"]), entry.get("Sha256") or None)


def _repository(file: RemoteFile) -> str:
    return file.origin.partition("@")[0]


def _revisions(file: RemoteFile) -> list[str]:
    """Where the user's cache may have it. What lies there under a branch may be of an older commit, which only a checksum
    tells."""
    branch = file.origin.partition("@")[2] if file.sha256 else ""
    return [revision for revision in (file.revision, branch) if revision]


@contextmanager
def _named_failures(where: str) -> Iterator[None]:
    from modelscope_hub import errors

    try:
        yield
    except errors.NetworkError as error:
        raise Passing(explain(Failure.UNCONNECTED.value, error), becomes=unreachable) from error
    except (errors.ServerError, errors.RateLimitError) as error:
        raise Passing(f"the hub answers {error.status_code}", becomes=unusable) from error
    except (errors.AuthenticationError, errors.PermissionDeniedError) as error:
        raise SourceError(f"{where} may not be read by this account.", next_action=_PERMISSION) from error
    except errors.NotExistError as error:
        raise SourceError(
            f"{where} does not exist, or is private and the token may not read it.",
            next_action=f"check `repository` and `revision` in image.yaml; {_PERMISSION}",
        ) from error
    except errors.HubError as error:
        raise SourceError(
            f"{where}: the hub answers: {error}.", next_action="check `repository` and `revision` in image.yaml"
        ) from error
