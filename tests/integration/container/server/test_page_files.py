"""What browsers get at ``/``, which programs do not; and the document that the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.container.raw import ask
from tests.support.container.running import Server, Start, wait_until
from tests.support.repository import ROOT

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
FILES = sorted(path.name for path in (ROOT / "entrypoints/page").iterdir())
TOKEN = "a-secret-of-the-operator"


def test_a_browser_gets_the_page(server: Server) -> None:
    response = server.get("/", headers=BROWSER)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["vary"] == "accept"
    assert response.text == (ROOT / "entrypoints/page/index.html").read_text()


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/json",
        "application/json, text/html",
        "text/html;q=0.5, application/json;q=0.9",
        "text/html;q=0",
        "text/html;q=much",
        "",
    ],
)
def test_a_program_gets_json(server: Server, accept: str) -> None:
    response = server.get("/", headers={"accept": accept})
    assert response.headers["vary"] == "accept"
    assert response.json()["name"] == "tiny"


@pytest.mark.parametrize("path", ["/", *(f"/page/{name}" for name in FILES)])
def test_every_file_has_the_security_headers(server: Server, path: str) -> None:
    response = server.get(path, headers=BROWSER)
    assert response.status_code == 200
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert server.client.head(path, headers=BROWSER).headers["content-length"] == str(len(response.content))


@pytest.mark.parametrize(
    "target", ["/page/", "/page/../settings.py", "/page/%2e%2e/settings.py", "/page/none.js", "/page"]
)
def test_nothing_else_is_read(server: Server, target: str) -> None:
    """httpx would remove the dots."""
    assert ask(server, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).status == 404


def test_files_of_the_page_are_only_read(server: Server) -> None:
    for path in ("/", "/page/main.js"):
        response = server.client.post(path, headers=BROWSER)
        assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


def test_a_start_reads_nothing_of_the_page(start: Start, tmp_path: Path) -> None:
    """Python names each module that it imports; the files are read by one of them."""
    server = start(PYTHONVERBOSE="1")
    wait_until(lambda: "entrypoints.server.app" in server.stderr, "the imports of the server")
    wait_until(lambda: '"event": "ready"' in server.stderr, "the start")
    assert "entrypoints.server.page" not in server.stderr
    server.get("/", headers=BROWSER)
    assert "entrypoints.server.page" in server.stderr


def test_the_status_tells_of_requests_and_not_of_clients(start: Start) -> None:
    server = start(PREBAKE_ADMIN_TOKEN=TOKEN).wait_for("ready")
    assert server.post(json={"values": "1,2,3,4"}).status_code == 200
    assert server.post(json={"values": "a client's word"}).status_code == 500
    assert server.get("/nothing?a-client's-word").status_code == 404
    authorization = {"authorization": f"Bearer {TOKEN}"}
    assert server.client.post("/v2/repository/models/tiny/unload", headers=authorization).status_code == 200
    assert server.post(json={"values": "1,2,3,4"}).status_code == 503
    response = server.get("/status")
    document = response.json()
    found = [(each["method"], each["path"], each["status"]) for each in document["requests"]]
    unload = "/v2/repository/models/{model}/unload"
    answers = [("/generate", 503), (unload, 200), ("/generate", 500), ("/generate", 200)]
    assert found == [("POST", path, status) for path, status in answers]
    assert all(each["seconds"] > 0 for each in document["requests"])
    (model,) = document["models"]
    assert (model["arrivals"], model["hits"]) == (2, 2)  # the third was refused before it reached the model
    assert not model["accepts"]
    assert (model["state"], model["memory"]) == ("unloaded", 0)
    assert {each["state"] for each in model["components"]} == {"unloaded"}
    assert "client" not in response.text
    assert TOKEN not in response.text
    assert document["takes_operations"]


def test_the_status_tells_of_a_start(start: Start) -> None:
    server = start(TINY_START="1").wait_for("starting")
    server.wait_for_note("creating")
    document = server.get("/status").json()
    assert document["state"] == "starting"
    assert document["ready_seconds"] is None
    running = [phase["name"] for phase in document["phases"] if phase["seconds"] is None]
    assert "create" in running
    assert document["machine"]["processor"]["cpus"] >= 1
    assert document["models"][0]["memory"] > 10_000_000
    server.leave_note("go")
    server.wait_for("ready")
    document = server.get("/status").json()
    assert document["ready_seconds"] <= document["seconds"]
    assert {each["state"] for each in document["models"][0]["components"]} == {"open"}
    assert not document["takes_operations"]


def test_asking_for_the_status_writes_no_line_into_the_log(server: Server) -> None:
    server.get("/status")
    server.get("/nothing")

    def find_paths() -> list[str]:
        return [event["path"] for event in server.find_events("request")]

    wait_until(lambda: "/nothing" in find_paths(), "the line of the later request")  # it follows the answer
    assert "/status" not in find_paths()
