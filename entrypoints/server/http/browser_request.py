"""May a web page send this request? Pure.

A browser sends requests of any page to any address that it can reach, also to a server on the same machine or network.
By the Origin header it says from which page; the Host header shows under which name the page reached the server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from entrypoints.response import Response, error_response

DEFAULT_PORTS = {"http": "80", "https": "443"}


def check_browser_request(
    headers: Mapping[bytes, bytes], allowed_hosts: Sequence[str], allowed_origins: Sequence[str]
) -> Response | None:
    """The refusal: 421 for a host that is not served, 403 for a page of another origin. None if the request is allowed.

    ``allowed_hosts``: ``example.com``, ``example.com:8000``, ``*.example.com``; none: any host.
    ``allowed_origins``: besides the server's own, ``https://example.com``, ``example.com``, ``*.example.com``; ``*``: any.
    """
    host = headers.get(b"host", b"").decode("latin-1").lower()
    if allowed_hosts and not any(matches_host(host, pattern.lower()) for pattern in allowed_hosts):
        message = (
            f"The server does not answer for the host {host!r}; PREBAKE_ALLOWED_HOSTS lists the hosts that it serves."
        )
        return error_response(421, message)
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    if not origin or "*" in allowed_origins:
        return None
    scheme, _, authority = origin.partition("://")
    if authority and add_port(authority, scheme) == add_port(host, scheme):
        return None
    if any(matches_origin(scheme, authority, pattern.lower()) for pattern in allowed_origins):
        return None
    message = (
        f"Pages of the origin {origin} may not send requests to {host}; PREBAKE_ALLOWED_ORIGINS lists others that may."
    )
    return error_response(403, message)


def matches_origin(scheme: str, authority: str, pattern: str) -> bool:
    """A pattern with a scheme has to match scheme and port, too."""
    wanted_scheme, has_scheme, wanted = pattern.partition("://")
    if not has_scheme:
        return matches_host(authority, pattern)
    return scheme == wanted_scheme and (authority == wanted or is_below(authority, wanted))


def matches_host(host: str, pattern: str) -> bool:
    """A pattern without a port matches every port."""
    return pattern == "*" or any(name == pattern or is_below(name, pattern) for name in (host, remove_port(host)))


def is_below(name: str, pattern: str) -> bool:
    """``*.example.com`` matches every name below ``example.com``, and not that name itself."""
    return pattern.startswith("*.") and name.endswith(pattern[1:]) and name != pattern[1:]


def remove_port(host: str) -> str:
    """``[::1]:8000`` is ``[::1]``."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def add_port(host: str, scheme: str) -> str:
    return host if remove_port(host) != host else f"{host}:{DEFAULT_PORTS.get(scheme, '')}"
