"""The files that hold credentials for registries: podman's and Docker's, in podman's order (containers-auth.json(5))."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prebake.oci.errors import RegistryDenied

_DOCKERS = "config.json"


@dataclass(frozen=True)
class AuthFile:
    """What a file says. ``auths`` are entries by registry, or by registry and the first parts of a repository's path;
    ``helpers`` name a credential helper by registry; ``store`` is the helper of all others."""

    path: Path
    auths: Mapping[str, Any] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, Any] = field(default_factory=dict)
    store: str = ""

    def unusable(self, why: str) -> RegistryDenied:
        return RegistryDenied(
            f"{self.path} {why}.",
            next_action="mend the file, or `docker login` anew (`podman login`, if it is podman's)",
        )


def auth_files(environ: Mapping[str, str] = os.environ) -> Iterator[AuthFile]:
    """The files that are there, the one that counts first; each is read when it is asked for.

    ``REGISTRY_AUTH_FILE`` is the only one if it is set. Raises RegistryDenied for a file that cannot be used.
    """
    if named := environ.get("REGISTRY_AUTH_FILE"):
        file = AuthFile(Path(named))
        if not file.path.exists():
            raise file.unusable("does not exist, and REGISTRY_AUTH_FILE names it")
        yield _read(file.path)
        return
    for path in _default_paths(environ):
        yield _read(path)


def _default_paths(environ: Mapping[str, str]) -> list[Path]:
    home = Path(environ.get("HOME") or Path.home())
    runtime = environ.get("XDG_RUNTIME_DIR")
    return [
        Path(runtime, "containers/auth.json") if runtime else Path(f"/run/containers/{os.getuid()}/auth.json"),
        Path(environ.get("XDG_CONFIG_HOME") or home / ".config", "containers/auth.json"),
        Path(environ.get("DOCKER_CONFIG") or home / ".docker", _DOCKERS),
    ]


def _read(path: Path) -> AuthFile:
    """The exceptions' causes are left out on purpose: a JSON error carries the whole text, passwords included."""
    empty = AuthFile(path)
    try:
        text = path.read_bytes()
        found = {} if path.name == _DOCKERS and not text.strip() else json.loads(text)  # as Docker takes an empty one
    except (FileNotFoundError, NotADirectoryError):
        return empty
    except (OSError, ValueError, RecursionError) as error:
        raise empty.unusable(f"cannot be read ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise empty.unusable("is not a Docker configuration")
    auths, helpers = ({} if found.get(name) is None else found[name] for name in ("auths", "credHelpers"))
    if not isinstance(auths, dict) or not isinstance(helpers, dict):
        raise empty.unusable("is not a Docker configuration")
    return AuthFile(path, auths, helpers, str(found.get("credsStore") or ""))
