"""Sends one hostile request on a connection of its own, and judges the answer."""

from __future__ import annotations

import http.client
import socket
import time
from dataclasses import dataclass

from tests.support.hostile.judges import judge_answer
from tests.support.hostile.message import HostileRequest

PATIENCE_SECONDS = 60.0
"""For an answer that has to come."""
MOMENT_SECONDS = 0.05
"""How long a client that sent an incomplete request still listens."""


@dataclass(frozen=True)
class Reply:
    """``status`` is 0 if none came. ``problem`` is what the server did wrong; empty if nothing."""

    status: int
    problem: str = ""


def send(port: int, request: HostileRequest) -> Reply:
    """Never raises."""
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
            return converse(connection, request)
    except OSError as error:
        return Reply(0, f"no connection ({type(error).__name__})")


def converse(connection: socket.socket, request: HostileRequest) -> Reply:
    refused = False
    try:
        for piece in request.pieces:
            connection.sendall(piece)
            time.sleep(request.pause)
    except OSError:
        refused = True  # the server has answered and closed; its answer may still be there
    connection.settimeout(PATIENCE_SECONDS if request.answered else MOMENT_SECONDS)
    response = http.client.HTTPResponse(connection, method=request.method)
    try:
        response.begin()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        # A refused body is cut: the reset may overtake the answer (RFC 9112, section 9.6).
        missing = request.answered and not refused and not isinstance(error, ConnectionResetError)
        return Reply(0, f"no answer ({type(error).__name__})" if missing else "")
    finally:
        response.close()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, judge_answer(request.method, response.status, headers, body))
