"""Credentials for registries, as the Docker CLI and podman keep them."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from prebake.oci.auth_files import AuthFile, auth_files
from prebake.oci.errors import RegistryDenied
from prebake.oci.reference import DEFAULT_ALIAS, DEFAULT_HOST
from prebake.process import CommandFailed, Finished, Narrator, run, silent

_NOT_FOUND = "credentials not found"
_TOKEN_USER = "<token>"  # noqa: S105  (a helper's name for "the secret is an identity token")
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
    key: str, environ: Mapping[str, str] = os.environ, *, path: str = "", say: Narrator = silent
) -> Credentials | None:
    """Those for a registry (``Reference.credentials_key``), or for the repository ``path`` there if a file has an entry for it.

    The first file that has any counts. In it the entry for the longest part of ``path`` wins; for the whole registry the helper
    set for it comes first, then the store, then the file's own entry. Raises RegistryDenied if a file or its helper cannot be
    used.
    """
    for file in auth_files(environ):
        found = _of_repository(file, key, path) or _of_registry(file, key, environ, say)
        if found is not None:
            return found
    return None


def _of_repository(file: AuthFile, key: str, path: str) -> Credentials | None:
    """podman's keys: ``host/path/of/repository``, the longest that is there."""
    parts = path.split("/") if path else []
    names = [f"{_host_of(key)}/{'/'.join(parts[:length])}" for length in range(len(parts), 0, -1)]
    return next((_read_entry(file, name) for name in names if file.auths.get(name)), None)


def _of_registry(file: AuthFile, key: str, environ: Mapping[str, str], say: Narrator) -> Credentials | None:
    helper = file.helpers.get(key) or file.helpers.get(_host_of(key)) or file.store
    found = _ask_helper(str(helper), key, environ, say) if helper else None
    if found is not None:
        return found
    names = (key, _host_of(key), *(name for name in file.auths if _is_host(name) and _host_of(name) == _host_of(key)))
    return next((_read_entry(file, name) for name in names if file.auths.get(name)), None)


def _ask_helper(name: str, key: str, environ: Mapping[str, str], say: Narrator) -> Credentials | None:
    """The protocol of docker-credential-helpers: the server on stdin, ``Username`` and ``Secret`` on stdout."""
    program = f"docker-credential-{name}"
    try:
        ended = run([program, "get"], input=key, env=environ, timeout=_HELPER_SECONDS, check=False, say=say)
    except CommandFailed as error:
        raise _unusable_helper(program, key, str(error)) from None
    if ended.exit_code and _NOT_FOUND in ended.stdout:
        return None
    return _helper_answer(program, key, ended)


def _helper_answer(program: str, key: str, ended: Finished) -> Credentials | None:
    if ended.exit_code:
        raise _unusable_helper(program, key, f"it ended with code {ended.exit_code}")
    try:
        found = json.loads(ended.stdout)
        username, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError):
        raise _unusable_helper(program, key, "its output is not what such a helper writes") from None
    if not username and not secret:  # as Docker takes it, nobody
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
    """Not podman's key of a repository; older files of Docker's name a URL, or a host with the version of its API."""
    rest = name.partition("://")[2] if "://" in name else name
    return rest.partition("/")[2].strip("/") in ("", "v1", "v2")


def _host_of(name: str) -> str:
    rest = name.partition("://")[2] if "://" in name else name
    host = rest.partition("/")[0]
    return DEFAULT_HOST if host == DEFAULT_ALIAS else host


def _unusable_helper(program: str, key: str, why: str) -> RegistryDenied:
    return RegistryDenied(
        f"{program} gives no credentials for {key}: {why}.",
        next_action=f"run `{program} get` by hand, or `docker login` anew",
    )
