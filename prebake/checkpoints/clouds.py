"""What differs between object stores behind fsspec: how each is opened, names versions, refuses, and fails for a while.

Their libraries are optional packages (the extras ``s3`` and ``gs``) and slow to load, so nothing is imported before it is
needed.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from prebake.patience import Patience

# s3fs/errors.py: what it makes of SlowDown and ServiceUnavailable, and of InternalError.
_BUSY = {errno.EBUSY, getattr(errno, "EREMOTEIO", errno.EIO)}
_DENIED = {401, 403}
_FRESH = {"skip_instance_cache": True, "use_listings_cache": False}


class FileSystem(Protocol):
    """The part of fsspec's AbstractFileSystem that is used."""

    def info(self, path: str) -> Mapping[str, Any]: ...

    def find(self, path: str) -> Sequence[str]: ...

    def cat_file(self, path: str, *, start: int, end: int) -> bytes: ...


@dataclass(frozen=True)
class Cloud:
    """A kind of object store.

    ``kind`` is its ``from:`` word and the extra's, ``package`` what has to be installed for ``open``, which raises
    ImportError where it is not. ``version`` is the word for a version in an object's info, ``mark`` what stands before
    one in a path (gcsfs heeds none that comes as an argument of ``info``). ``passes`` says of an error that it may not
    last, ``refuses`` that it is for want of permission, which is got by ``permission``.
    """

    kind: str
    package: str
    open: Callable[[Patience], FileSystem]
    version: str
    mark: str
    passes: Callable[[Exception], bool]
    refuses: Callable[[Exception], bool]
    permission: str

    def revision(self, info: Mapping[str, Any]) -> str:
        """What an object is pinned to: ``version:…`` where the bucket keeps versions, else ``etag:…``."""
        version = info.get(self.version)
        if version is not None and version != "null":  # S3's word for what came before the bucket kept versions
            return f"version:{version}"
        return f"etag:{str(info.get('ETag') or info.get('etag') or '').strip(chr(34))}"

    def pinned(self, place: str, revision: str) -> str:
        """The path by which this very version is read; ``place`` itself where only an ETag is known."""
        kind, _, version = revision.partition(":")
        return f"{place}{self.mark}{version}" if kind == "version" else place


def _open_s3(patience: Patience) -> FileSystem:
    """One attempt a call: trying again is this program's own, which tells of it."""
    from s3fs import S3FileSystem

    timeouts = {"connect_timeout": patience.connect, "read_timeout": patience.read}
    config = {**timeouts, "retries": {"total_max_attempts": 1}}
    opened = S3FileSystem(version_aware=True, config_kwargs=config, **_FRESH)
    opened.retries = 1
    return cast(FileSystem, opened)


def _s3_passes(error: Exception) -> bool:
    from botocore.exceptions import ConnectionError as Unconnected  # not Python's
    from s3fs.core import S3_RETRYABLE_ERRORS

    passing = (*S3_RETRYABLE_ERRORS, Unconnected, ConnectionError, TimeoutError)
    return isinstance(error, passing) or _errno(error) in _BUSY


def _s3_refuses(error: Exception) -> bool:
    from botocore.exceptions import CredentialRetrievalError, NoCredentialsError, PartialCredentialsError

    kinds = (PermissionError, NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
    return isinstance(error, kinds)


def _open_gs(patience: Patience) -> FileSystem:
    """The plain one: what the package gives under its name asks for each bucket's kind by gRPC, which proxies do not pass."""
    from aiohttp import ClientTimeout
    from gcsfs.core import GCSFileSystem

    class Once(GCSFileSystem):  # type: ignore[misc]
        """One attempt a call, as of S3's: the library would try six times, and tell nobody."""

        _request = GCSFileSystem._request.__wrapped__

    timeout = ClientTimeout(total=None, sock_connect=patience.connect, sock_read=patience.read)
    return cast(FileSystem, Once(version_aware=True, requests_timeout=timeout, **_FRESH))


def _gs_passes(error: Exception) -> bool:
    from gcsfs.retry import is_retriable

    return bool(is_retriable(error)) or isinstance(error, ConnectionError | TimeoutError)


def _gs_refuses(error: Exception) -> bool:
    from google.auth.exceptions import GoogleAuthError

    forbidden = isinstance(error, OSError) and str(error).startswith("Forbidden")  # gcsfs/retry.py, validate_response
    return forbidden or isinstance(error, GoogleAuthError) or getattr(error, "code", None) in _DENIED


def _errno(error: Exception) -> int | None:
    return error.errno if isinstance(error, OSError) else None


S3 = Cloud(
    kind="s3",
    package="s3fs",
    open=_open_s3,
    version="VersionId",
    mark="?versionId=",
    passes=_s3_passes,
    refuses=_s3_refuses,
    permission="give credentials that may read it (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY); a public"
    " bucket takes none: FSSPEC_S3_ANON=true",
)
GS = Cloud(
    kind="gs",
    package="gcsfs",
    open=_open_gs,
    version="generation",
    mark="#",
    passes=_gs_passes,
    refuses=_gs_refuses,
    permission="give credentials that may read it: `gcloud auth application-default login`, or"
    " GOOGLE_APPLICATION_CREDENTIALS; a public bucket takes none: FSSPEC_GS_TOKEN=anon",
)
