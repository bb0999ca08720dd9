"""What the client reads of a container that failed."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass

import pytest

from prebake.errors import StartFailed
from prebake.measure.client import Request, ask, make_start_failed, read_fault_details


@dataclass
class Ended:
    """A container that printed ``log``."""

    log: str
    requested: float = 0.0
    port: int = 0
    pulled: float = 0.0

    def logs(self) -> str:
        return self.log

    def exit_code(self) -> int:
        return 75


def test_the_details_of_logged_faults_are_read_as_json() -> None:
    details = {"model": "clap", "largest_difference": 0.5}
    events = [{"event": "fault", "reason": "far", "details": details}, {"event": "fault", "reason": "no file"}]
    lines = ["{", "[1]", '{"event": "ready", "details": {}}', *map(json.dumps, events), "differ by up to 3"]
    error = make_start_failed(Ended("\n".join(lines)), "exited with 75")
    assert error.details == (details,)
    assert read_fault_details(Ended("\n".join(lines))) == [details]
    assert "differ by up to 3" in error.message


def test_a_container_that_logged_no_fault_has_no_details() -> None:
    assert make_start_failed(Ended(""), "exited with 1").details == ()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"], ids=["nothing", "a part"]
)
def test_a_connection_that_closes_before_the_answer_is_an_error_with_the_log(answer: bytes) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while b"--\r\n" not in connection.recv(4096):
                pass
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(StartFailed, match="did not answer a request to /generate") as failed:
            ask(Ended("killed by signal 9", port=listener.getsockname()[1]), Request({"text": "x"}, "/generate"))
        thread.join()
    assert "killed by signal 9" in failed.value.message
