"""Files of a Hugging Face repository, by the hub's own library: its endpoint, token, cache and offline settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from huggingface_hub import HfApi, constants, get_token, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import ModelInfo, RepoSibling

from prebake.checkpoints.download.download import Download, download_to_store
from prebake.checkpoints.download.http_download import (
    DOWNLOAD_RETRY,
    HttpRequest,
    Transfer,
    download,
    open_client,
    redact_url,
)
from prebake.checkpoints.errors import unreachable, unusable
from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, target_path
from prebake.checkpoints.sources.xet import Xet
from prebake.checkpoints.store.partial_file import PartialFile
from prebake.checkpoints.store.store import Store, StoredObject
from prebake.errors import ChecksumMismatch, NoNetwork, SourceError
from prebake.io.http_errors import RequestFailure, explain
from prebake.io.retry import RetryPolicy, RetryState, TransientError, retry
from prebake.spec.image.sources import FromHub

_PERMISSION = "set HF_TOKEN or run `hf auth login`, and accept the model's terms on its page if the page asks for it"
# The library has changed its HTTP library twice; the base class of its own error depends on which one it uses.
_TRANSPORT: tuple[type[Exception], ...] = tuple(
    kind for kind in HfHubHTTPError.__bases__ if issubclass(kind, Exception)
)
_PASSING = (408, 429)


class HuggingFace:
    """``from: hub``. ``endpoint`` and ``cache`` come from HF_ENDPOINT and HF_HOME by default. Large files in Xet storage are
    downloaded by ``xet``, all others by HTTP."""

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        cache: Path | None = None,
        retry_policy: RetryPolicy = DOWNLOAD_RETRY,
        client: httpx.Client | None = None,
        xet: Xet | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._cache = cache
        self._retry_policy = retry_policy
        self._client = client or open_client(self._retry_policy)
        self._xet = xet or Xet(self._client, self._retry_policy)

    def resolve(self, spec: FromHub) -> list[RemoteFile]:
        info = self._info(spec)
        published = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        missing = [file for file in spec.files if file not in published]
        if missing or info.sha is None:
            raise SourceError(
                f"The hub's repository {spec.repository} at {spec.revision} has no file {', '.join(missing)}.",
                next_action="correct `files` in image.yaml",
            )
        source = f"hub:{spec.repository}" + ("" if info.sha == spec.revision else f"@{spec.revision}")
        return [_remote(spec, file, source, info.sha, published[file]) for file in spec.files]

    def names(self, spec: FromHub) -> list[str]:
        return [sibling.rfilename for sibling in self._info(spec).siblings or ()]

    def unit(self, file: RemoteFile) -> str:
        return f"{file.source}:{file.revision}/{file.locator}"

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[StoredObject]:
        return [self._fetch(file, store, progress) for file in unit]

    def _info(self, spec: FromHub) -> ModelInfo:
        tries = RetryState(self._retry_policy, f"the hub's repository {spec.repository}", _say_nothing)
        return retry(lambda: self._ask(spec), tries)

    def _ask(self, spec: FromHub) -> ModelInfo:
        api = HfApi(endpoint=self._endpoint, library_name="prebake")
        with _named_failures(spec):
            return api.model_info(
                spec.repository, revision=spec.revision, files_metadata=True, timeout=self._retry_policy.read
            )

    def _fetch(self, file: RemoteFile, store: Store, progress: Progress) -> StoredObject:
        return self._from_cache(file, store, progress) or self._download(file, store, progress)

    def _download(self, file: RemoteFile, store: Store, progress: Progress) -> StoredObject:
        request = self._request(file)

        def pull(partial: PartialFile) -> None:
            if file.sha256 is None or not self._xet.pull(request, partial, progress):
                download(request, partial, Transfer(self._client, self._retry_policy, progress))

        return download_to_store(Download(file, redact_url(request.url), pull), store, progress)

    def _from_cache(self, file: RemoteFile, store: Store, progress: Progress) -> StoredObject | None:
        """The file in the user's own hub cache, if it exists and has the right digest."""
        found = try_to_load_from_cache(_repository(file), file.locator, cache_dir=self._cache, revision=file.revision)
        if not isinstance(found, str):
            return None
        try:
            stored = store.add_file(Path(found).resolve(), sha256=file.sha256, name=file.path)
        except ChecksumMismatch:
            progress.note(file.path, f"{found} has another checksum; downloading instead")
            return None
        progress.report(file.path, stored.size, stored.size)
        return stored

    def _request(self, file: RemoteFile) -> HttpRequest:
        if constants.HF_HUB_OFFLINE:
            raise _offline(file.path)
        url = hf_hub_url(_repository(file), file.locator, revision=file.revision, endpoint=self._endpoint)
        return HttpRequest(file.path, url, file.size, _authorization(), _PERMISSION)


def _remote(spec: FromHub, file: str, source: str, commit: str, sibling: RepoSibling) -> RemoteFile:
    """The sha256 of a large file. Small files lie in git, which publishes no sha256."""
    sha256 = sibling.lfs.sha256 if sibling.lfs is not None else None
    return RemoteFile(target_path(spec.to, file), source, commit, file, sibling.size, sha256)


def _authorization() -> dict[str, str]:
    """The user's token, as the library would send it. httpx removes it if the hub redirects to another host."""
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _say_nothing(text: str) -> None:
    """Resolving is short, so its retries are not logged."""


def _repository(file: RemoteFile) -> str:
    return file.origin.partition("@")[0]


def _offline(what: str) -> NoNetwork:
    return NoNetwork(
        f"{what} is not in the hub's cache, and HF_HUB_OFFLINE forbids downloads.",
        next_action="unset HF_HUB_OFFLINE, or point HF_HOME to a cache that has the file",
    )


@contextmanager
def _named_failures(spec: FromHub) -> Iterator[None]:
    name = f"The hub's repository {spec.repository}"
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise _offline(f"{name} at {spec.revision}") from error
    except HFValidationError as error:
        raise SourceError(
            f"{name}: this is not a valid repository name.", next_action="correct `repository` in image.yaml"
        ) from error
    except GatedRepoError as error:
        raise SourceError(f"{name} is gated, and this account may not read it.", next_action=_PERMISSION) from error
    except RepositoryNotFoundError as error:
        raise SourceError(
            f"{name} does not exist, or is private and the token may not read it.",
            next_action=f"check the name; {_PERMISSION}",
        ) from error
    except RevisionNotFoundError as error:
        raise SourceError(
            f"{name} has no revision {spec.revision}.", next_action="correct `revision` in image.yaml"
        ) from error
    except HfHubHTTPError as error:
        raise _answer(name, error) from error
    except _TRANSPORT as error:
        raise TransientError(explain(RequestFailure.UNCONNECTED.value, error), to_error=unreachable) from error


def _answer(name: str, error: HfHubHTTPError) -> Exception:
    status = error.response.status_code
    if status in _PASSING or status >= 500:
        wait = str(error.response.headers.get("Retry-After", ""))
        return TransientError(
            f"the hub answers {status}", to_error=unusable, after=float(wait) if wait.isdigit() else None
        )
    if status in (401, 403):
        return SourceError(f"{name} refuses access ({status}).", next_action=_PERMISSION)
    return SourceError(
        f"{name}: the hub answers {status}.", next_action="check `repository` and `revision` in image.yaml"
    )
