"""docs/reference/endpoints.md: every path, every status and every header of the server is in its tables."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

import pytest

from entrypoints.server.grpc.methods import NAMES
from tools.reference import grpc
from tools.reference.application import call, make_app
from tools.reference.endpoints import (
    COMMON_STATUSES,
    GENERATE_STATUSES,
    MEANINGS,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    find_endpoints,
    find_statuses,
)
from tools.reference.pages import ROOT

RESPONSES = {"error_response", "json_response", "Response", "Refusal"}
SOURCES = [
    *sorted((ROOT / "entrypoints").glob("*.py")),
    *(
        path
        for folder in ("server", "model", "forms")
        for path in sorted((ROOT / "entrypoints" / folder).rglob("*.py"))
        if path.parent.name != "tracing"  # which asks a collector, and answers nobody
    ),
]


def literal_statuses() -> Iterator[int]:
    """Every status that the code gives a response literally."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RESPONSES:
                numbers = (each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant))
                yield from (number for number in numbers if isinstance(number, int))


def test_every_status_that_the_code_answers_is_listed() -> None:
    by_the_parser, of_grpc = {501}, {499, 501}
    assert set(literal_statuses()) - of_grpc == {*GENERATE_STATUSES, *COMMON_STATUSES} - by_the_parser


def test_every_method_of_grpc_is_described() -> None:
    assert {name.rpartition("/")[2] for name in NAMES} == grpc.METHODS.keys()
    assert "501" in str(grpc.find_statuses()["UNIMPLEMENTED"])


def test_every_path_is_described_and_every_described_path_is_there() -> None:
    assert find_endpoints().keys() == MEANINGS.keys()


@pytest.mark.parametrize("names", [("",), ("NAME", "OTHER")])
def test_the_server_lists_the_same_endpoints_itself(names: tuple[str, ...]) -> None:
    app = make_app(names, "starting")
    listed = json.loads(call(app, "GET", "/").body)["endpoints"]
    known = {f"{methods.partition(',')[0]} {path}" for path, methods in find_endpoints().items()}
    assert {endpoint for endpoint in listed if "OTHER" not in endpoint} <= known
    assert call(app, "GET", "/nothing").status == 404
    assert (call(app, "POST", "/generate").status == 404) == (names != ("",))


@pytest.mark.parametrize("path", [path for path, methods in find_endpoints().items() if "GET" in methods])
def test_a_page_answers_the_head_request_with_the_same_status(path: str) -> None:
    app = make_app(("NAME", "OTHER") if "NAME" in path else ("",), "ready")
    assert call(app, "HEAD", path).status == call(app, "GET", path).status
    assert set(find_statuses(path)) <= {200, 503}


def test_every_header_that_the_code_reads_or_writes_is_listed() -> None:
    """Those of the request's body parts are not the server's."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    read = set(re.findall(r'headers(?:"\]\))?\.get\(b"([a-z-]+)"', text))
    read |= set(re.findall(r'read_header\((?:request\.)?headers, b"([a-z-]+)"', text))
    read |= set(re.findall(r'if name == b"(x-request-id|traceparent)"', text))
    assert read - {"content-length"} == {name.lower() for name in REQUEST_HEADERS}
    written = set(
        re.findall(
            r'"(retry-after|x-request-id|preference-applied|server-timing|allow|cache-control|vary|[a-z]+-[a-z-]+)": ',
            text,
        )
    )
    assert written - {"content-type", "content-length", "x-accel-buffering"} == {
        name.lower() for name in RESPONSE_HEADERS
    }
