"""The differences between object stores behind fsspec: opening, versions, refusals and transient failures.

Their libraries are optional packages (the extras ``s3`` and ``gs``) and slow to load, so they are imported only when they are
needed.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from prebake.io.retry import RetryPolicy

# s3fs/errors.py: the errno for SlowDown and ServiceUnavailable, and for InternalError.
_BUSY = {errno.EBUSY, getattr(errno, "EREMOTEIO", errno.EIO)}
_DENIED = {401, 403}
_FRESH = {"skip_instance_cache": True, "use_listings_cache": False}


class FileSystem(Protocol):
    """The part of fsspec's AbstractFileSystem that is used."""

    def info(self, path: str) -> Mapping[str, Any]: ...

    def find(self, path: str) -> Sequence[str]: ...

    def cat_file(self, path: str, *, start: int, end: int) -> bytes: ...


@dataclass(frozen=True)
class ObjectStore:
    """A kind of object store.

    ``kind`` is the value of ``from:`` and the name of the extra. ``open`` needs the package ``package``, and raises ImportError
    if it is not installed. ``version`` is the key of an object's version in its info; ``mark`` precedes a version in a path
    (gcsfs ignores a version that is an argument of ``info``). ``passes``: whether an error may be transient. ``refuses``:
    whether an error means a missing permission; ``permission`` is the next action then.
    """

    kind: str
    package: str
    open: Callable[[RetryPolicy], FileSystem]
    version: str
    mark: str
    passes: Callable[[Exception], bool]
    refuses: Callable[[Exception], bool]
    permission: str

    def revision(self, info: Mapping[str, Any]) -> str:
        """The revision that an object is pinned to: ``version:…`` if the bucket keeps versions, else ``etag:…``."""
        version = info.get(self.version)
        if version is not None and version != "null":  # S3's version of objects from before the bucket kept versions
            return f"version:{version}"
        return f"etag:{str(info.get('ETag') or info.get('etag') or '').strip(chr(34))}"

    def pinned(self, place: str, revision: str) -> str:
        """The path of this version; ``place`` itself if only an ETag is known."""
        kind, _, version = revision.partition(":")
        return f"{place}{self.mark}{version}" if kind == "version" else place


def _open_s3(retry_policy: RetryPolicy) -> FileSystem:
    """The library makes one attempt per call: Prebake repeats attempts itself, and logs each."""
    from s3fs import S3FileSystem

    timeouts = {"connect_timeout": retry_policy.connect, "read_timeout": retry_policy.read}
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


def _open_gs(retry_policy: RetryPolicy) -> FileSystem:
    """The plain HTTP class. The package's default class asks for the type of each bucket by gRPC, which proxies do not pass."""
    from aiohttp import ClientTimeout
    from gcsfs.core import GCSFileSystem

    class Once(GCSFileSystem):  # type: ignore[misc]
        """Makes one attempt per call, as for S3: the library would make six attempts without logging them."""

        _request = GCSFileSystem._request.__wrapped__

    timeout = ClientTimeout(total=None, sock_connect=retry_policy.connect, sock_read=retry_policy.read)
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


S3 = ObjectStore(
    kind="s3",
    package="s3fs",
    open=_open_s3,
    version="VersionId",
    mark="?versionId=",
    passes=_s3_passes,
    refuses=_s3_refuses,
    permission="give credentials that may read it (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY); for a public"
    " bucket set FSSPEC_S3_ANON=true",
)
GS = ObjectStore(
    kind="gs",
    package="gcsfs",
    open=_open_gs,
    version="generation",
    mark="#",
    passes=_gs_passes,
    refuses=_gs_refuses,
    permission="give credentials that may read it: `gcloud auth application-default login`, or"
    " GOOGLE_APPLICATION_CREDENTIALS; for a public bucket set FSSPEC_GS_TOKEN=anon",
)
