"""The files with credentials for registries: podman's and Docker's, in podman's order (containers-auth.json(5))."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prebake.oci.errors import RegistryDenied

_DOCKER_CONFIG = "config.json"


@dataclass(frozen=True)
class AuthFile:
    """The content of one file. ``auths`` are entries by registry, or by registry and the first parts of a repository's path;
    ``helpers`` are names of credential helpers by registry; ``store`` is the helper of all other registries."""

    path: Path
    auths: Mapping[str, Any] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, Any] = field(default_factory=dict)
    store: str = ""

    def unusable(self, reason: str) -> RegistryDenied:
        return RegistryDenied(
            f"{self.path} {reason}.",
            next_action="correct the file, or run `docker login` again (`podman login` for podman's file)",
        )


def auth_files(environ: Mapping[str, str] = os.environ) -> Iterator[AuthFile]:
    """The files that exist, in the order in which they are searched; each is read when it is needed.

    If ``REGISTRY_AUTH_FILE`` is set, it names the only one. Raises RegistryDenied for a file that cannot be used.
    """
    if path := environ.get("REGISTRY_AUTH_FILE"):
        file = AuthFile(Path(path))
        if not file.path.exists():
            raise file.unusable("does not exist, and REGISTRY_AUTH_FILE names it")
        yield _read(file.path)
        return
    for default in _default_paths(environ):
        yield _read(default)


def _default_paths(environ: Mapping[str, str]) -> list[Path]:
    home = Path(environ.get("HOME") or Path.home())
    runtime = environ.get("XDG_RUNTIME_DIR")
    return [
        Path(runtime, "containers/auth.json") if runtime else Path(f"/run/containers/{os.getuid()}/auth.json"),
        Path(environ.get("XDG_CONFIG_HOME") or home / ".config", "containers/auth.json"),
        Path(environ.get("DOCKER_CONFIG") or home / ".docker", _DOCKER_CONFIG),
    ]


def _read(path: Path) -> AuthFile:
    """Exceptions have no cause here: a JSON error holds the whole text, with its passwords."""
    empty = AuthFile(path)
    try:
        text = path.read_bytes()
        document = (
            {} if path.name == _DOCKER_CONFIG and not text.strip() else json.loads(text)
        )  # Docker allows an empty file
    except (FileNotFoundError, NotADirectoryError):
        return empty
    except (OSError, ValueError, RecursionError) as error:
        raise empty.unusable(f"cannot be read ({type(error).__name__})") from None
    if not isinstance(document, dict):
        raise empty.unusable("is not a Docker configuration")
    auths, helpers = ({} if document.get(name) is None else document[name] for name in ("auths", "credHelpers"))
    if not isinstance(auths, dict) or not isinstance(helpers, dict):
        raise empty.unusable("is not a Docker configuration")
    return AuthFile(path, auths, helpers, str(document.get("credsStore") or ""))
