"""Names of images, as Docker reads them."""

from __future__ import annotations

import pytest

from prebake.oci.errors import ReferenceInvalid
from prebake.oci.reference import (
    DEFAULT_ALIAS,
    DEFAULT_CREDENTIALS,
    DEFAULT_HOST,
    DEFAULT_SERVER,
    Reference,
    parse_reference,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foley", Reference(DEFAULT_HOST, "library/foley")),
        ("foley:v1", Reference(DEFAULT_HOST, "library/foley", "v1")),
        ("prebake/foley", Reference(DEFAULT_HOST, "prebake/foley")),
        (f"{DEFAULT_HOST}/foley", Reference(DEFAULT_HOST, "library/foley")),
        (f"{DEFAULT_ALIAS}/prebake/foley", Reference(DEFAULT_HOST, "prebake/foley")),
        ("registry.example/foley", Reference("registry.example", "foley")),
        ("registry.example:5000/a/b/c:v1", Reference("registry.example:5000", "a/b/c", "v1")),
        ("localhost/foley", Reference("localhost", "foley")),
        ("localhost:5000/foley", Reference("localhost:5000", "foley")),
        ("REGISTRY/foley", Reference("REGISTRY", "foley")),
        ("[::1]:5000/foley:v1", Reference("[::1]:5000", "foley", "v1")),
        (f"foley@{DIGEST}", Reference(DEFAULT_HOST, "library/foley", None, DIGEST)),
        (f"registry.example/foley:v1@{DIGEST}", Reference("registry.example", "foley", "v1", DIGEST)),
        ("foley:_V.1-x", Reference(DEFAULT_HOST, "library/foley", "_V.1-x")),
        ("a/foley__small-cpu.x", Reference(DEFAULT_HOST, "a/foley__small-cpu.x")),
    ],
)
def test_a_name_is_read_as_docker_reads_it(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected
    assert parse_reference(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a repository's path"),
        ("prebake/Foley", "lower case"),
        ("foley:", "not a tag"),
        ("foley:-v1", "not a tag"),
        ("foley:" + "v" * 129, "not a tag"),
        ("foley@sha256:123", "digest"),
        (f"foley@{DIGEST.upper()}", "digest"),
        ("foley@", "digest"),
        ("a//b", "is not a repository's path"),
        ("a/b/", "is not a repository's path"),
        ("a/-b", "is not a repository's path"),
        ("a/b.._c", "is not a repository's path"),
        ("reg_istry.example/foley", "is not a host name"),
        ("registry.example:port/foley", "is not a host name"),
        ("https://registry.example/foley", "is not a host name"),
        ("a/" + "b" * 255, "longer than 255"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ReferenceInvalid, match=reason):
        parse_reference(text)


@pytest.mark.parametrize(
    ("text", "target"), [("a", "latest"), ("a:v1", "v1"), (f"a@{DIGEST}", DIGEST), (f"a:v1@{DIGEST}", DIGEST)]
)
def test_a_digest_is_asked_for_before_a_tag(text: str, target: str) -> None:
    assert parse_reference(text).target == target


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("127.8.9.1:80", "http://127.8.9.1:80"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("registry.example", "https://registry.example"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
        ("127.0.0.1.example", "https://127.0.0.1.example"),
        (DEFAULT_HOST, f"https://{DEFAULT_SERVER}"),
    ],
)
def test_only_this_machine_is_spoken_to_in_plain_http(host: str, url: str) -> None:
    assert Reference(host, "a").base_url({}) == url


@pytest.mark.parametrize("host", ["lab:5000", "lab", "10.0.0.1:5000"])
def test_plain_http_is_allowed_by_name(host: str) -> None:
    listed = {"PREBAKE_INSECURE_REGISTRIES": "other:1, lab ,10.0.0.1:5000"}
    assert Reference(host, "a").base_url(listed) == f"http://{host}"
    assert Reference("10.0.0.1:5001", "a").base_url(listed) == "https://10.0.0.1:5001"


def test_the_default_host_keeps_its_credentials_where_docker_does() -> None:
    assert parse_reference("foley").credentials_key == DEFAULT_CREDENTIALS
    assert parse_reference("registry.example:5000/foley").credentials_key == "registry.example:5000"
