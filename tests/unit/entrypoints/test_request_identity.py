"""Ids of requests and of traces, as clients send them."""

from __future__ import annotations

import re

import pytest

from entrypoints.server.http.request_identity import (
    TraceParent,
    choose_request_id,
    describe_request,
    parse_traceparent,
    read_traceparent,
)

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
VALID = b"00-%b-%b-01" % (TRACE, SPAN)


@pytest.mark.parametrize("value", [b"a", b"A-z_0.9:/+=-", b"x" * 128])
def test_a_sane_id_is_the_clients(value: bytes) -> None:
    assert choose_request_id([(b"x-request-id", value)]) == value.decode()


@pytest.mark.parametrize("value", [b"", b"x" * 129, b"a b", b'a"', b"a\n", "ü".encode(), b"{}", b"a,b"])
def test_another_id_is_replaced_by_a_random_one(value: bytes) -> None:
    chosen = {choose_request_id([(b"x-request-id", value)]) for _ in range(3)}
    assert len(chosen) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in chosen)


def test_a_valid_traceparent() -> None:
    assert parse_traceparent(VALID) == TraceParent(TRACE.decode(), SPAN.decode(), sampled=True)
    assert parse_traceparent(VALID[:-2] + b"00") == TraceParent(TRACE.decode(), SPAN.decode(), sampled=False)
    later = parse_traceparent(b"01" + VALID[2:] + b"-more")
    assert later is not None
    assert later.trace_id == TRACE.decode()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        VALID + b"-more",
        VALID + b" ",
        b"ff" + VALID[2:],
        b"0" + VALID,
        VALID[:-1],
        VALID.upper(),
        VALID.replace(TRACE, b"0" * 32),
        VALID.replace(SPAN, b"0" * 16),
        VALID.replace(b"-", b"_"),
        b"01" + VALID[2:] + b"more",
    ],
)
def test_another_traceparent_is_none(value: bytes) -> None:
    assert parse_traceparent(value) is None


def test_two_traceparents_are_none() -> None:
    assert read_traceparent([(b"traceparent", VALID)]) is not None
    assert read_traceparent([(b"traceparent", VALID)] * 2) is None


def test_lines_of_the_log_have_both_ids() -> None:
    headers = [(b"x-request-id", b"one"), (b"traceparent", VALID)]
    assert describe_request(headers) == {"request_id": "one", "trace_id": TRACE.decode()}
    assert describe_request(headers[:1]) == {"request_id": "one"}
