"""Errors of registries."""

from __future__ import annotations

from prebake.errors import PrebakeError

_KEPT = "the registry keeps blobs that arrived whole, and the same command sends only the rest"


class ReferenceInvalid(PrebakeError):
    """A text is not an image reference. The message names the part that is wrong."""


class RegistryError(PrebakeError):
    """A registry refused a request or gave a response that cannot be used (the message quotes it), or it lacks a
    blob whose bytes are not on this machine."""

    exit_code = 60


class RegistryUnreachable(PrebakeError):
    """A registry cannot be reached, or breaks the connection again and again."""

    exit_code = 61


class RegistryDenied(PrebakeError):
    """A registry denies access with the credentials that were found, there are none, or the file with the
    credentials (Docker's or podman's) cannot be read."""

    exit_code = 62


class DigestDisputed(PrebakeError):
    """A registry says twice that a blob does not match its digest, although it does."""

    exit_code = 63


def unreachable(host: str, reason: str) -> RegistryUnreachable:
    return RegistryUnreachable(
        f"{host} cannot be reached: {reason}.",
        next_action=f"check the network (HTTPS_PROXY; SSL_CERT_FILE behind a company's proxy); {_KEPT}",
    )


def untrusted(host: str, reason: str) -> RegistryUnreachable:
    return RegistryUnreachable(
        f"{host}: its certificate is not trusted ({reason}).",
        next_action="set SSL_CERT_FILE to a bundle with the certificate of your proxy or registry",
    )


def no_tls(host: str) -> RegistryUnreachable:
    return RegistryUnreachable(
        f"{host}: it does not use https.",
        next_action=f"set PREBAKE_INSECURE_REGISTRIES={host} if it is meant to use http",
    )


def unusable(host: str, reason: str) -> RegistryError:
    return RegistryError(
        f"{host}: {reason}.", next_action=f"act on the registry's message, or try again later; {_KEPT}"
    )


def denied(host: str, reason: str) -> RegistryDenied:
    return RegistryDenied(
        f"{host}: {reason}.",
        next_action=f"run `docker login {host}` with an account that has this right for the repository",
    )
