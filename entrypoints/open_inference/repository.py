"""Triton's model repository extension: the index, and who may load and unload models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from entrypoints.contract import BadRequest
from entrypoints.open_inference.models import VERSION

MAX_BODY_BYTES = 64 * 1024
"""The largest body of a request of this extension, which has a few flags."""
STATES = {"starting": "LOADING", "ready": "READY", "draining": "UNLOADING", "failed": "UNAVAILABLE"}
"""Triton's word for each state of a model."""
ADMIN_TOKEN = "PREBAKE_ADMIN_TOKEN"  # noqa: S105  # the name of the variable


class IndexEntry(NamedTuple):
    """``state``: of ``entrypoints.processes.status``, or ``unloaded``."""

    name: str
    state: str
    reason: str | None = None


class NotAllowed(Exception):
    """The text is an answer to the client, with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def describe_index(entries: Sequence[IndexEntry], *, only_ready: bool) -> list[dict[str, str]]:
    """``POST /v2/repository/index``"""
    return [
        {
            "name": entry.name,
            "version": VERSION,
            "state": STATES.get(entry.state, "UNAVAILABLE"),
            "reason": entry.reason or ("" if entry.state in STATES else entry.state),
        }
        for entry in entries
        if entry.state == "ready" or not only_ready
    ]


def read_index_request(body: bytes) -> bool:
    """Whether only models that are ready are asked for. Raises BadRequest (400, 413)."""
    ready = read_object(body).get("ready", False)
    if not isinstance(ready, bool):
        raise BadRequest("ready should be true or false.", status=400)
    return ready


def check_load_request(body: bytes) -> None:
    """Raises BadRequest (400, 413): the files and the configuration of a model are those of the image."""
    parameters = read_object(body).get("parameters") or {}
    if not isinstance(parameters, dict):
        raise BadRequest("parameters should be an object.", status=400)
    if any(name == "config" or name.startswith("file:") for name in parameters):
        message = "A model is loaded as it is in the image: leave config and files out, or build an image with them."
        raise BadRequest(message, status=400)


def read_object(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY_BYTES:
        raise BadRequest(f"The body is larger than {MAX_BODY_BYTES} bytes.", status=413)
    if not body.strip():
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}.", status=400) from None
    if not isinstance(document, dict):
        raise BadRequest("The body should be a JSON object.", status=400)
    return document


def check_admin(authorization: str, token: str) -> None:
    """``authorization``: the header's value. ``token``: the container's, empty if it has none. Raises NotAllowed (401, 403)."""
    if not token:
        message = (
            f"Loading, unloading and clearing models is off: start the container with {ADMIN_TOKEN}, and send the same"
        )
        raise NotAllowed(403, f"{message} token as 'Authorization: Bearer TOKEN'.")
    from hmac import compare_digest  # here: few servers are administered

    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer" or not compare_digest(given.strip().encode(), token.encode()):
        raise NotAllowed(401, f"Send the value of {ADMIN_TOKEN} as 'Authorization: Bearer TOKEN'.")
