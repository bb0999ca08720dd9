"""Files of a ModelScope repository, by the hub's own library, with its endpoint, token and cache.

The hub publishes for every file a sha256 and the commit that wrote it last. A file of a branch or tag is pinned to this commit.
The library is an optional package (the extra ``modelscope``), so it is imported only when it is needed.
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

from prebake.checkpoints.download.download import HttpDownloader
from prebake.checkpoints.download.http_download import DOWNLOAD_RETRY, HttpRequest, Transfer, open_client
from prebake.checkpoints.errors import unreachable, unusable
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, target_path
from prebake.checkpoints.store.store import Store, StoredObject
from prebake.errors import ChecksumMismatch, SourceError
from prebake.io.http_errors import RequestFailure, explain
from prebake.io.log import log_to_stderr
from prebake.io.retry import RetryPolicy, RetryState, TransientError, retry
from prebake.spec.image.sources import FromModelScope

if TYPE_CHECKING:
    from modelscope_hub import HubApi

_PERMISSION = "set MODELSCOPE_API_TOKEN to a token that may read it, and accept the model's terms on its page if asked"
_COMMIT = re.compile(r"[0-9a-f]{40}")


class ModelScope:
    """``from: modelscope``."""

    def __init__(self, *, retry_policy: RetryPolicy = DOWNLOAD_RETRY, client: httpx.Client | None = None) -> None:
        self._retry_policy = retry_policy
        self._client = client or open_client(retry_policy)
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

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[StoredObject]:
        return [self._fetch(file, store, progress) for file in unit]

    def _published(self, spec: FromModelScope) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
        """The repository's name for errors, and its files by path."""
        where = f"ModelScope's repository {spec.repository} at {spec.revision}"
        listed = retry(lambda: self._ask(spec, where), RetryState(self._retry_policy, where, log_to_stderr))
        return where, {str(entry["Path"]): entry for entry in listed if entry.get("Type") != "tree"}

    def _ask(self, spec: FromModelScope, where: str) -> list[Mapping[str, Any]]:
        hub = self._hub()
        with _named_failures(where):
            return list(hub.legacy.list_repo_files(spec.repository, "model", revision=spec.revision))

    def _fetch(self, file: RemoteFile, store: Store, progress: Progress) -> StoredObject:
        transfer = Transfer(self._client, self._retry_policy, progress)
        return self._from_cache(file, store, progress) or HttpDownloader(transfer, store).bring(
            file, self._request(file)
        )

    def _from_cache(self, file: RemoteFile, store: Store, progress: Progress) -> StoredObject | None:
        """The file in the user's own cache, under the commit or the branch, if it exists and has the right digest."""
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

    def _request(self, file: RemoteFile) -> HttpRequest:
        hub = self._hub()
        url = hub.legacy.get_download_url(_repository(file), "model", file.locator, file.revision)
        token = hub.legacy.token
        # Both headers, as the library sends them. httpx removes both if the hub redirects to another host.
        headers = {"Authorization": f"Bearer {token}", "Cookie": f"m_session_id={token}"} if token else {}
        return HttpRequest(file.path, url, file.size, headers, _PERMISSION)

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
            next_action=f"{sys.executable} -m pip install modelscope-hub (the extra `prebake[modelscope]` contains it)",
        ) from error
    return HubApi(HubConfig())


def _remote(spec: FromModelScope, file: str, entry: Mapping[str, Any]) -> RemoteFile:
    """A file at a commit in image.yaml is pinned to this commit, a file at a branch or tag to the commit that wrote it last."""
    given, wrote = spec.revision, str(entry.get("Revision") or "")
    pinned = given if _COMMIT.fullmatch(given) or not _COMMIT.fullmatch(wrote) else wrote
    source = f"modelscope:{spec.repository}" + ("" if _COMMIT.fullmatch(given) else f"@{given}")
    return RemoteFile(target_path(spec.to, file), source, pinned, file, int(entry["Size"]), entry.get("Sha256") or None)


def _repository(file: RemoteFile) -> str:
    return file.origin.partition("@")[0]


def _revisions(file: RemoteFile) -> list[str]:
    """The revisions under which the user's cache may have the file. Under a branch it may have the bytes of an older commit,
    which only a checksum shows."""
    branch = file.origin.partition("@")[2] if file.sha256 else ""
    return [revision for revision in (file.revision, branch) if revision]


@contextmanager
def _named_failures(where: str) -> Iterator[None]:
    from modelscope_hub import errors

    try:
        yield
    except errors.NetworkError as error:
        raise TransientError(explain(RequestFailure.UNCONNECTED.value, error), to_error=unreachable) from error
    except (errors.ServerError, errors.RateLimitError) as error:
        raise TransientError(f"the hub answers {error.status_code}", to_error=unusable) from error
    except (errors.AuthenticationError, errors.PermissionDeniedError) as error:
        raise SourceError(f"This account may not read {where}.", next_action=_PERMISSION) from error
    except errors.NotExistError as error:
        raise SourceError(
            f"{where} does not exist, or is private and the token may not read it.",
            next_action=f"check `repository` and `revision` in image.yaml; {_PERMISSION}",
        ) from error
    except errors.HubError as error:
        raise SourceError(
            f"{where}: the hub answers: {error}.", next_action="check `repository` and `revision` in image.yaml"
        ) from error
