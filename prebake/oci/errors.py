"""What goes wrong with registries."""

from __future__ import annotations

from prebake.errors import PrebakeError

_KEPT = "what arrived whole is kept, and the same command sends only the rest"


class ReferenceInvalid(PrebakeError):
    """A name of an image that is none."""


class RegistryError(PrebakeError):
    """A registry answered with something that cannot be used, or refused a request."""

    exit_code = 60


class RegistryUnreachable(PrebakeError):
    """A registry cannot be reached."""

    exit_code = 61


class RegistryDenied(PrebakeError):
    """A registry wants other credentials, or none of ours."""

    exit_code = 62


class DigestDisputed(PrebakeError):
    """A registry says, twice, that a blob's bytes are not its digest, though they are."""

    exit_code = 63


def unreachable(host: str, reason: str) -> RegistryUnreachable:
    return RegistryUnreachable(
        f"{host} cannot be reached: {reason}.",
        next_action=f"check the network (HTTPS_PROXY, and SSL_CERT_FILE behind a company's proxy); {_KEPT}",
    )


def untrusted(host: str, reason: str) -> RegistryUnreachable:
    return RegistryUnreachable(
        f"{host}: its certificate is not trusted: {reason}.",
        next_action="set SSL_CERT_FILE to a bundle that holds the certificate of your proxy or registry",
    )


def plain(host: str) -> RegistryUnreachable:
    return RegistryUnreachable(
        f"{host}: it does not speak https.",
        next_action=f"if it is meant to speak plain http: PREBAKE_INSECURE_REGISTRIES={host}",
    )


def unusable(host: str, reason: str) -> RegistryError:
    return RegistryError(f"{host}: {reason}.", next_action=f"read what the registry says, try again later; {_KEPT}")


def denied(host: str, reason: str) -> RegistryDenied:
    return RegistryDenied(
        f"{host}: {reason}.", next_action=f"`docker login {host}`, as somebody who may do this with the repository"
    )
