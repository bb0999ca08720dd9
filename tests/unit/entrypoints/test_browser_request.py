"""Which pages may send a POST, and to which hosts."""

from __future__ import annotations

import pytest

from entrypoints.server.http.browser_request import check_browser_request


def check(host: str, origin: str | None = None, hosts: str = "", origins: str = "") -> int:
    """The status of the refusal; 0 if there is none."""
    headers = {b"host": host.encode(), **({b"origin": origin.encode()} if origin is not None else {})}
    refusal = check_browser_request(headers, hosts.split(), origins.split())
    return refusal.status if refusal else 0


@pytest.mark.parametrize(
    ("host", "origin", "origins", "status"),
    [
        ("a.com", None, "", 0),
        ("a.com:8000", "http://a.com:8000", "", 0),
        ("A.com", "https://a.COM", "", 0),
        ("a.com:443", "https://a.com", "", 0),
        ("a.com:80", "http://a.com", "", 0),
        ("[::1]:8000", "http://[::1]:8000", "", 0),
        ("a.com:443", "http://a.com", "", 403),
        ("localhost:8000", "http://localhost:3000", "", 403),
        ("a.com", "https://b.com", "", 403),
        ("a.com", "https://a.com.b.com", "", 403),
        ("a.com", "https://nota.com", "", 403),
        ("a.com", "null", "", 403),
        ("", "null", "", 403),
        ("", "http://", "", 403),
        ("a.com", "garbage", "", 403),
        ("a.com", "https://b.com", "https://b.com", 0),
        ("a.com", "https://b.com:1", "https://b.com", 403),
        ("a.com", "http://b.com", "https://b.com", 403),
        ("a.com", "https://b.com:1", "B.com", 0),
        ("a.com", "https://b.com:1", "b.com:2", 403),
        ("a.com", "https://x.b.com", "c.com *.b.com", 0),
        ("a.com", "https://b.com", "*.b.com", 403),
        ("a.com", "https://xb.com", "*.b.com", 403),
        ("a.com", "https://x.b.com", "https://*.b.com", 0),
        ("a.com", "http://x.b.com", "https://*.b.com", 403),
        ("a.com", "https://b.com", "*", 0),
    ],
)
def test_origins(host: str, origin: str | None, origins: str, status: int) -> None:
    assert check(host, origin, origins=origins) == status


@pytest.mark.parametrize(
    ("host", "hosts", "status"),
    [
        ("anything", "", 0),
        ("a.com", "a.com", 0),
        ("A.COM:8000", "a.com", 0),
        ("a.com:8000", "a.com:8000", 0),
        ("a.com", "a.com:8000", 421),
        ("a.com:8001", "a.com:8000", 421),
        ("b.com", "a.com", 421),
        ("", "a.com", 421),
        ("x.a.com:1", "*.a.com", 0),
        ("x.y.a.com", "*.a.com", 0),
        ("a.com", "*.a.com", 421),
        (".a.com", "*.a.com", 421),
        ("xa.com", "*.a.com", 421),
        ("a.com.b.com", "*.a.com a.com", 421),
        ("[::1]:8000", "[::1]", 0),
    ],
)
def test_hosts(host: str, hosts: str, status: int) -> None:
    assert check(host, hosts=hosts) == status


def test_a_refusal_names_the_variable() -> None:
    for name, refusal in (
        ("PREBAKE_ALLOWED_ORIGINS", check_browser_request({b"host": b"a", b"origin": b"http://b"}, (), ())),
        ("PREBAKE_ALLOWED_HOSTS", check_browser_request({b"host": b"a"}, ("b",), ())),
    ):
        assert refusal is not None
        assert name in refusal.body.decode()
