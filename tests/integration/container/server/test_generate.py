"""Forms of every encoding, their limits and errors."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any

import pytest

from tests.support.container.baking import answer
from tests.support.container.running import Server

VALUES = {"values": "1,2,3,4"}


def error_of(response: Any) -> dict[str, Any]:
    document: dict[str, Any] = response.json()["error"]
    return document


def test_multipart_with_a_file(server: Server) -> None:
    response = server.post(
        data={**VALUES, "factor": "3", "repeat": "2"}, files={"clip": ("clip.bin", bytes(range(256)))}
    )
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-model"] == "tiny"
    assert "generate;dur=" in response.headers["server-timing"]
    assert response.json() == {"result": pytest.approx(answer(3)), "clip": 256, "repeat": 2}


def test_urlencoded_with_empty_boxes_as_defaults(server: Server) -> None:
    response = server.post(data={**VALUES, "factor": "", "manner": "", "repeat": ""})
    assert response.json() == {"result": pytest.approx(answer(1)), "clip": 0, "repeat": 1}


def test_json_with_a_file_in_base64(server: Server) -> None:
    clip = base64.b64encode(b"12345").decode()
    response = server.post(json={**VALUES, "factor": -0.5, "repeat": 3.0, "clip": clip, "manner": None})
    assert response.json() == {"result": pytest.approx(answer(-0.5)), "clip": 5, "repeat": 3}


def test_a_file_box_left_empty_counts_as_left_out(server: Server) -> None:
    part = '--x\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    for nameless in ('; filename=""', ""):
        body = part.format("values", "", "1,2,3,4") + part.format("clip", nameless, "") + "--x--\r\n"
        response = server.post(content=body, headers={"content-type": "multipart/form-data; boundary=x"})
        assert response.json()["clip"] == 0


def test_a_file_of_the_boundarys_own_bytes_arrives_whole(server: Server) -> None:
    content = b"\r\n--x\r\n--b\r\n-" * 100_000
    response = server.post(data=VALUES, files={"clip": ("clip", content)}, headers={})
    assert response.json()["clip"] == len(content)


def test_every_wrong_field_is_named_at_once(server: Server) -> None:
    wrong = {"factor": "11", "repeat": "2.5", "manner": "plian", "clip": "text", "valeus": "1"}
    response = server.post(data=wrong)
    assert response.status_code == 422
    fields = error_of(response)["fields"]
    assert "is required" in fields["values"]
    assert "at most 10" in fields["factor"]
    assert "whole number" in fields["repeat"]
    assert 'did you mean "plain"' in fields["manner"]
    assert "multipart/form-data" in fields["clip"]
    assert 'did you mean "values"' in fields["valeus"]
    assert len(fields) == 6


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("values", "1" * 101, "at most 100 characters"),
        ("factor", "3", "should be a number without quotes, is '3'"),
        ("factor", "", "should be a number without quotes, is ''"),
        ("factor", True, "should be a number"),
        ("repeat", 0, "at least 1"),
        ("repeat", 10**200, "at most 5"),
        ("repeat", "2", "should be a whole number without quotes, is '2'"),
        ("repeat", True, "whole number"),
        ("repeat", 10**400, "whole number"),
        ("values", "1,2,3,\ud800", "half of a surrogate pair"),
        ("manner", "\ud800", "should be one of"),
        ("repeat", "\ud800", "whole number"),
        ("clip", "*", "base64"),
        ("values", 3, "should be text"),
        ("manner", 3, "should be one of"),
        ("manner", "", "should be one of"),
        ("values", None, "is required"),
    ],
)
def test_a_field_of_json_outside_its_limits(server: Server, field: str, value: object, problem: str) -> None:
    content = json.dumps({**VALUES, field: value})  # in ASCII, unlike httpx's
    response = server.post(content=content, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert problem in error_of(response)["fields"][field]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("factor", "nan", "should be a number"),
        ("factor", "1e999", "should be a number"),
        ("factor", "1_0", "should be a number, is '1_0'"),
        ("factor", "١", "should be a number, is '١'"),
        ("repeat", "0", "at least 1"),
        ("repeat", "9" * 200, "at most 5"),
    ],
)
def test_a_field_of_a_web_form_outside_its_limits(server: Server, field: str, value: str, problem: str) -> None:
    response = server.post(data={**VALUES, field: value})
    assert response.status_code == 422
    assert problem in error_of(response)["fields"][field]


def test_a_field_whose_name_is_no_text(server: Server) -> None:
    response = server.post(content=b'{"values": "1,2,3,4", "\\ud800": 1}', headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert list(error_of(response)["fields"]) == ["\ud800"]


def test_a_file_over_its_fields_maximum(server: Server) -> None:
    response = server.post(data=VALUES, files={"clip": ("clip", bytes(8_000_001))})
    assert response.status_code == 422
    assert "at most 8000000 bytes" in error_of(response)["fields"]["clip"]


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b"\xff", 400),
        ("application/x-www-form-urlencoded", b"values=%ff", 400),
        ("application/x-www-form-urlencoded", b"values=1&values=2", 400),
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=x", b"nonsense", 400),
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="values"\r\n\r\n1', 400),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", 400),
        ("text/plain", b"values", 415),
        ("", b"", 415),
    ],
)
def test_a_body_that_cannot_be_read(server: Server, content_type: str, body: bytes, status: int) -> None:
    response = server.post(content=body, headers={"content-type": content_type})
    assert response.status_code == status
    assert error_of(response)["message"]


def test_a_body_over_the_limit_is_refused_by_its_length(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest("POST", "/generate")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "10000001")
    connection.endheaders()
    response = connection.getresponse()  # not a byte of the body is sent
    assert response.status == 413
    assert "10000000 bytes" in json.loads(response.read())["error"]["message"]
    connection.close()


def test_a_body_over_the_limit_without_a_length(server: Server) -> None:
    pieces = (bytes(1_000_000) for _ in range(12))
    response = server.post(content=pieces, headers={"content-type": "application/json"})
    assert response.status_code == 413


def test_the_client_that_sends_all_of_it_reads_the_refusal(server: Server) -> None:
    assert server.post(data=VALUES, files={"clip": ("clip", bytes(20_000_000))}).status_code == 413
    assert server.post(json=VALUES).status_code == 200


def test_the_models_own_refusals_and_crashes(server: Server) -> None:
    few = server.post(json={"values": "1"})
    assert (few.status_code, error_of(few)["fields"]) == (422, {"values": "values should be 4 numbers"})
    assert server.post(json={**VALUES, "manner": "refuse"}).status_code == 409
    for manner in ("crash", "leave", "none", "header"):
        response = server.post(json={**VALUES, "manner": manner})
        assert response.status_code == 500
        assert "crashed" not in response.text
    assert "the model crashed" in server.stderr
    assert "generate() should return an Answer" in server.stderr
    assert server.post(json=VALUES).status_code == 200


def test_a_failure_in_the_log_names_its_request(server: Server) -> None:
    for name in ("first-1", "second-2"):
        headers = {"x-request-id": name}
        assert server.post(json={**VALUES, "manner": "crash"}, headers=headers).headers["x-request-id"] == name
    failed = [event for event in server.events if event["event"] == "generate failed"][-2:]
    assert [(event["request_id"], event["level"]) for event in failed] == [("first-1", "error"), ("second-2", "error")]
