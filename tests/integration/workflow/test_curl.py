"""The lines for curl: a real shell and a real curl send what the warm-up request has."""

from __future__ import annotations

import shutil
import subprocess
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path

import pytest

from prebake.measure.client import Request
from prebake.measure.warmup_request import WarmupRequest
from prebake.workflow.local_run.curl import write_curl_lines
from tests.support.http_server import QuietHandler, serving_http

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


def warmup(
    fields: dict[str, str | tuple[str, bytes]], media_type: str = "application/json", path: str = "/generate"
) -> WarmupRequest:
    return WarmupRequest(Request(fields, path), b"", media_type, 0.0)


def send(line: str, folder: Path) -> None:
    subprocess.run(line, shell=True, check=True, cwd=folder, capture_output=True, timeout=30)


FIELDS: dict[str, str | tuple[str, bytes]] = {
    "plain": "rain on a tin roof",
    "quotes": 'it\'s "so" $HOME `x`',
    "at": "@home",
    "less": "<b>",
    "options": "a;type=text/html",
    "long": "word " * 100,
    "lines": "one\ntwo\n",
    "empty": "",
    "clip": ("clip one.mp4", bytes(range(256))),
}


def test_curl_sends_the_fields_of_the_warm_up_request(tmp_path: Path) -> None:
    bodies: list[tuple[str, bytes]] = []

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            bodies.append((self.path, b"content-type: " + self.headers["content-type"].encode() + b"\r\n\r\n" + body))
            self.send_response(200)
            self.end_headers()

    with serving_http(Handler) as port:
        address = f"http://127.0.0.1:{port}"
        (line,) = write_curl_lines(
            address, {"m": warmup(FIELDS, path="/v2/models/m/generate")}, tmp_path / "request", tmp_path
        )
        send(line, tmp_path)
    ((path, body),) = bodies
    parts = BytesParser(policy=HTTP).parsebytes(body).iter_parts()
    received = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}
    assert path == "/v2/models/m/generate"
    assert received == {
        name: value[1] if isinstance(value, tuple) else value.encode() for name, value in FIELDS.items()
    }


@pytest.mark.parametrize(
    ("media_type", "end"),
    [
        ("application/json", "/generate"),
        ("text/plain", "/generate"),
        ("audio/wav", "-o answer.wav"),
        ("image/png", "-o answer.png"),
    ],
)
def test_an_answer_that_no_terminal_shows_goes_to_a_file(tmp_path: Path, media_type: str, end: str) -> None:
    (line,) = write_curl_lines("http://127.0.0.1:8000", {"m": warmup({"a": "b"}, media_type)}, tmp_path, tmp_path)
    assert line.endswith(end)
