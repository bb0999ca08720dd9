"""Credentials for registries, as the Docker CLI keeps them."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prebake.oci.errors import RegistryDenied
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
    key: str, environ: Mapping[str, str] = os.environ, *, say: Narrator = silent
) -> Credentials | None:
    """Those for a registry (``Reference.credentials_key``): from the helper set for it, the store, or the file itself.

    Raises RegistryDenied where the file or its helper cannot be used.
    """
    path = _config_file(environ)
    config = _read(path)
    helper = config.get("credHelpers", {}).get(key) or config.get("credsStore")
    found = _ask_helper(str(helper), key, environ, say) if helper else None
    return found or _from_file(config.get("auths", {}), key, path)


def _config_file(environ: Mapping[str, str]) -> Path:
    named = environ.get("DOCKER_CONFIG")
    return (Path(named) if named else Path.home() / ".docker") / "config.json"


def _read(path: Path) -> dict[str, Any]:
    """The exceptions' causes are left out on purpose: a JSON error carries the whole text, passwords included."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise _unusable_file(path, f"cannot be read ({type(error).__name__})") from None
    sections = [found.get(name) or {} for name in ("auths", "credHelpers")] if isinstance(found, dict) else [None]
    if not all(isinstance(section, dict) for section in sections):
        raise _unusable_file(path, "is not a Docker configuration")
    return {name: value for name, value in found.items() if value}


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


def _helper_answer(program: str, key: str, ended: Finished) -> Credentials:
    if ended.exit_code:
        raise _unusable_helper(program, key, f"it ended with code {ended.exit_code}")
    try:
        found = json.loads(ended.stdout)
        username, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError):
        raise _unusable_helper(program, key, "its output is not what such a helper writes") from None
    return Credentials(identity_token=secret) if username == _TOKEN_USER else Credentials(username, secret)


def _from_file(auths: Mapping[str, Any], key: str, path: Path) -> Credentials | None:
    entry = auths.get(key) or next((auths[name] for name in auths if _host_of(name) == _host_of(key)), None)
    if not entry:
        return None
    try:
        if entry.get("identitytoken"):
            return Credentials(identity_token=str(entry["identitytoken"]))
        if entry.get("auth"):
            name, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
            return Credentials(name, password.strip("\0"))
        if entry.get("username"):
            return Credentials(str(entry["username"]), str(entry.get("password", "")))
    except (AttributeError, TypeError, ValueError):
        raise _unusable_file(path, f"has an entry for {key} that cannot be read") from None
    return None


def _host_of(name: str) -> str:
    """Older files name a URL."""
    return name.partition("://")[2].partition("/")[0] if "://" in name else name.partition("/")[0]


def _unusable_file(path: Path, why: str) -> RegistryDenied:
    return RegistryDenied(f"{path} {why}.", next_action="mend the file, or `docker login` anew")


def _unusable_helper(program: str, key: str, why: str) -> RegistryDenied:
    return RegistryDenied(
        f"{program} gives no credentials for {key}: {why}.",
        next_action=f"run `{program} get` by hand, or `docker login` anew",
    )
