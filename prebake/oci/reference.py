"""Image references, parsed as Docker parses them."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from prebake.oci.errors import ReferenceInvalid

DEFAULT_HOST = "docker.io"
DEFAULT_ALIAS = f"index.{DEFAULT_HOST}"
DEFAULT_SERVER = f"registry-1.{DEFAULT_HOST}"
DEFAULT_CREDENTIALS = f"https://{DEFAULT_ALIAS}/v1/"
"""Docker Hub: the host of a reference without one, the server of its API, and the key of its credentials."""

_MAX_NAME_CHARACTERS = 255
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """A repository with a tag or a digest. ``host`` includes the port if there is one; ``digest`` is ``sha256:…``."""

    host: str
    path: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        return f"{self.host}/{self.path}"

    @property
    def target(self) -> str:
        """The name of the manifest in its repository: the digest, else the tag, else ``latest``."""
        return self.digest or self.tag or "latest"

    @property
    def credentials_key(self) -> str:
        """The key under which Docker keeps the host's credentials."""
        return DEFAULT_CREDENTIALS if self.host == DEFAULT_HOST else self.host

    def base_url(self, environ: Mapping[str, str] = os.environ) -> str:
        """The URL of the registry's API, with http for loopback hosts and those of PREBAKE_INSECURE_REGISTRIES."""
        server = DEFAULT_SERVER if self.host == DEFAULT_HOST else self.host
        plain = is_loopback(self.host) or _is_insecure(self.host, environ)
        return f"{'http' if plain else 'https'}://{server}"


def parse_reference(text: str) -> Reference:
    """``[host[:port]/]path[:tag][@digest]`` (the distribution project's reference grammar).

    Raises ReferenceInvalid.
    """
    named, at, digest = text.partition("@")
    _expect(
        not at or _DIGEST.fullmatch(digest), text, f"the digest {digest!r} is not sha256: and 64 digits of a-f, 0-9"
    )
    host, path = _split_host(named)
    path, colon, tag = path.partition(":")
    _expect(_HOST.fullmatch(host), text, f"{host!r} is not a host name")
    _expect(path != path.lower() or _PATH.fullmatch(path), text, f"{path!r} is not a repository's path")
    _expect(path == path.lower(), text, f"the path {path!r} of the repository has to be in lower case")
    _expect(
        not colon or _TAG.fullmatch(tag), text, f"{tag!r} is not a tag: 128 letters, digits, '_', '.' or '-' at most"
    )
    _expect(
        len(f"{host}/{path}") <= _MAX_NAME_CHARACTERS,
        text,
        f"the name is longer than {_MAX_NAME_CHARACTERS} characters",
    )
    return Reference(host, path, tag or None, digest or None)


def is_loopback(host: str) -> bool:
    """Whether Docker takes the host for this machine: ``localhost``, ``127.0.0.0/8``, ``::1``, with or without a port."""
    name = bare_host(host)
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def bare_host(host: str) -> str:
    """The host without port and brackets."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _split_host(named: str) -> tuple[str, str]:
    first, slash, rest = named.partition("/")
    if slash and (any(sign in first for sign in ".:") or first == "localhost" or first != first.lower()):
        host, path = (DEFAULT_HOST if first == DEFAULT_ALIAS else first), rest
    else:
        host, path = DEFAULT_HOST, named
    single = host == DEFAULT_HOST and "/" not in path
    return host, f"library/{path}" if single else path


def _is_insecure(host: str, environ: Mapping[str, str]) -> bool:
    listed = {entry.strip() for entry in environ.get("PREBAKE_INSECURE_REGISTRIES", "").split(",")}
    return host in listed or bare_host(host) in listed


def _expect(holds: object, text: str, problem: str) -> None:
    if not holds:
        raise ReferenceInvalid(
            f"{text!r} is not an image reference: {problem}.",
            next_action="write it as HOST[:PORT]/PATH[:TAG][@sha256:…]",
        )
