"""Credentials for registries, as the Docker CLI and podman keep them.

``docker.auth`` of the Docker SDK is not used, since it does less. It reads one file of Docker's, and none of podman's. It has no
entries for repositories, and none with ``username`` and ``password``. A helper of ``credHelpers`` is looked up by one spelling of
a registry only. It treats a broken file as empty, so a push fails later and for another reason. It runs helpers with
no time limit, and looks for them in this process's PATH.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from prebake.io.log import Log, silent
from prebake.io.subprocesses import CommandFailed, EndedCommand, run
from prebake.oci.errors import RegistryDenied
from prebake.oci.http.auth_files import AuthFile, auth_files
from prebake.oci.reference import DEFAULT_ALIAS, DEFAULT_HOST

_NOT_FOUND = "credentials not found"
_TOKEN_USER = "<token>"  # noqa: S105  (with this name a helper's secret is an identity token)
_HELPER_SECONDS = 60.0


@dataclass(frozen=True)
class Credentials:
    """A name and a password, or an identity token (an OAuth 2 refresh token)."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def find_credentials(
    key: str, environ: Mapping[str, str] = os.environ, *, path: str = "", log: Log = silent
) -> Credentials | None:
    """The credentials for a registry (``Reference.credentials_key``), or for the repository ``path`` there if a file has an entry
    for it.

    The first file that has any is used. In it the entry for the longest part of ``path`` comes first, then the registry's helper,
    the store, and the registry's entry. Raises RegistryDenied if a file or its helper cannot be used.
    """
    for file in auth_files(environ):
        credentials = _find_for_repository(file, key, path) or _find_for_registry(file, key, environ, log)
        if credentials is not None:
            return credentials
    return None


def _find_for_repository(file: AuthFile, key: str, path: str) -> Credentials | None:
    """By podman's keys ``host/path/of/repository``, the longest first."""
    parts = path.split("/") if path else []
    names = [f"{_host_of(key)}/{'/'.join(parts[:length])}" for length in range(len(parts), 0, -1)]
    return next((_read_entry(file, name) for name in names if file.auths.get(name)), None)


def _find_for_registry(file: AuthFile, key: str, environ: Mapping[str, str], log: Log) -> Credentials | None:
    host = _host_of(key)
    helper = file.helpers.get(key) or file.helpers.get(host) or file.store
    credentials = _run_helper(str(helper), key, environ, log) if helper else None
    if credentials is not None:
        return credentials
    names = (key, host, *(name for name in file.auths if _is_host(name) and _host_of(name) == host))
    return next((_read_entry(file, name) for name in names if file.auths.get(name)), None)


def _run_helper(name: str, key: str, environ: Mapping[str, str], log: Log) -> Credentials | None:
    """The protocol of docker-credential-helpers: the server on stdin, ``Username`` and ``Secret`` on stdout."""
    program = f"docker-credential-{name}"
    try:
        ended = run([program, "get"], input=key, env=environ, timeout=_HELPER_SECONDS, check=False, log=log)
    except CommandFailed as error:
        raise _unusable_helper(program, key, str(error)) from None
    if ended.exit_code and _NOT_FOUND in ended.stdout:
        return None
    return _read_helper_output(program, key, ended)


def _read_helper_output(program: str, key: str, ended: EndedCommand) -> Credentials | None:
    if ended.exit_code:
        raise _unusable_helper(program, key, f"it ended with code {ended.exit_code}")
    try:
        document = json.loads(ended.stdout)
        username, secret = str(document["Username"]), str(document["Secret"])
    except (ValueError, KeyError, TypeError):
        raise _unusable_helper(program, key, "its output is not that of a credential helper") from None
    if not username and not secret:  # Docker treats this as no credentials
        return None
    return Credentials(identity_token=secret) if username == _TOKEN_USER else Credentials(username, secret)


def _read_entry(file: AuthFile, name: str) -> Credentials | None:
    entry = file.auths[name]
    try:
        if entry.get("identitytoken"):
            return Credentials(identity_token=str(entry["identitytoken"]))
        if entry.get("auth"):
            user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
            return Credentials(user, password.strip("\0"))
        if entry.get("username"):
            return Credentials(str(entry["username"]), str(entry.get("password", "")))
    except (AttributeError, TypeError, ValueError):
        raise file.unusable(f"has an entry for {name} that cannot be read") from None
    return None


def _is_host(name: str) -> bool:
    """Whether a key names a registry, and not a repository as podman's keys may. Older files of Docker's name a URL, or a host
    with the version of its API."""
    rest = name.partition("://")[2] if "://" in name else name
    return rest.partition("/")[2].strip("/") in ("", "v1", "v2")


def _host_of(name: str) -> str:
    rest = name.partition("://")[2] if "://" in name else name
    host = rest.partition("/")[0]
    return DEFAULT_HOST if host == DEFAULT_ALIAS else host


def _unusable_helper(program: str, key: str, reason: str) -> RegistryDenied:
    return RegistryDenied(
        f"{program} gives no credentials for {key}: {reason}.",
        next_action=f"run `{program} get` by hand, or `docker login` again",
    )
