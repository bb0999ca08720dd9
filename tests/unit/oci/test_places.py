"""Where a Location leads: never down from https, and never to a port that a proxy forgot."""

from __future__ import annotations

import httpx
import pytest

from prebake.io.retry import RetryPolicy
from prebake.oci.errors import RegistryError
from prebake.oci.http.connection import Connection
from prebake.oci.http.responses import RegistryResponse
from prebake.oci.reference import parse_reference

UPLOAD = "/v2/a/blobs/uploads/1"


def place(reference: str, location: str, insecure: str = "") -> str:
    environ = {"DOCKER_CONFIG": "/nowhere", "PREBAKE_INSECURE_REGISTRIES": insecure}
    connection = Connection(parse_reference(reference), RetryPolicy(), environ=environ)
    asked = f"{'http' if insecure else 'https'}://{reference.partition('/')[0]}/v2/a/blobs/uploads/"
    try:
        return connection.location_of(RegistryResponse("POST", asked, 202, httpx.Headers({"Location": location}), b""))
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (UPLOAD, f"https://host.example{UPLOAD}"),
        ("1?a=b", f"https://host.example{UPLOAD}?a=b"),
        ("1?a=b#c", f"https://host.example{UPLOAD}?a=b"),
        (f"https://host.example{UPLOAD}", f"https://host.example{UPLOAD}"),
        (f"http://host.example{UPLOAD}", f"https://host.example{UPLOAD}"),
        (f"http://host.example:80{UPLOAD}", f"https://host.example{UPLOAD}"),
        (f"https://host.example:443{UPLOAD}", f"https://host.example{UPLOAD}"),
        (f"host.example{UPLOAD}?a=%2F%3D", f"https://host.example{UPLOAD}?a=%2F%3D"),
        (f"https://storage.example{UPLOAD}", f"https://storage.example{UPLOAD}"),
        (f"http://storage.example:9000{UPLOAD}", f"https://storage.example:9000{UPLOAD}"),
        (f"https://host.example:8443{UPLOAD}", f"https://host.example:8443{UPLOAD}"),
    ],
)
def test_of_a_registry_with_https(location: str, expected: str) -> None:
    assert place("host.example/a", location) == expected


@pytest.mark.parametrize("location", [f"http://host.example{UPLOAD}", f"https://host.example{UPLOAD}", UPLOAD])
def test_of_a_registry_with_a_port_of_its_own(location: str) -> None:
    assert place("host.example:5000/a", location) == f"https://host.example:5000{UPLOAD}"


@pytest.mark.parametrize(
    "location", [f"http://host.example:5000{UPLOAD}", f"https://host.example:5000{UPLOAD}", UPLOAD]
)
def test_of_a_registry_with_http(location: str) -> None:
    assert place("host.example:5000/a", location, "host.example:5000") == f"http://host.example:5000{UPLOAD}"


@pytest.mark.parametrize("location", ["", "https://host.example:none/"])
def test_that_is_none(location: str) -> None:
    with pytest.raises(RegistryError):
        place("host.example/a", location)
