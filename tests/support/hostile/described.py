"""Requests that schemathesis derives from a container's own ``/openapi.json``, and what a container says of its models."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prebake.measure import client
from tests.support.hostile.message import HostileRequest, Target

if TYPE_CHECKING:
    import requests


def read_target(port: int) -> Target:
    """The fields and tensors of a container that is ready."""
    index = json.loads(client.get(port, "/").body)
    models = json.loads(client.get(port, "/v2/models/stats").body)["model_stats"]
    inputs = {
        each["name"]: json.loads(client.get(port, f"/v2/models/{each['name']}").body)["inputs"] for each in models
    }
    return Target(index["name"], [field["name"] for field in index["fields"]], inputs)


def derive(port: int, seed: int, count: int) -> list[HostileRequest]:
    """About ``count`` requests, in an order that the seed decides. Half of them fit the document, half of them do not. There are
    fewer if its operations allow no more."""
    import schemathesis  # takes a second, as hypothesis does
    from schemathesis import GenerationMode
    from schemathesis.core.result import Ok

    schema = schemathesis.openapi.from_dict(json.loads(client.get(port, "/openapi.json").body))
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    each = max(1, count // (2 * len(operations)))
    found = [
        request
        for operation in operations
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        for request in derive_from(operation, mode, seed, each)
    ]
    random.Random(seed).shuffle(found)
    return found


def derive_from(operation: Any, mode: Any, seed: int, count: int) -> Iterator[HostileRequest]:
    """``operation`` and ``mode`` are schemathesis' APIOperation and GenerationMode."""
    import hypothesis
    from hypothesis import HealthCheck, Phase
    from hypothesis.errors import Unsatisfiable

    cases: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def keep(case: Any) -> None:
        cases.append(case)

    try:
        keep()
    except Unsatisfiable:  # an operation without parameters has nothing that can be wrong
        return
    yield from map(encode_case, cases)


def encode_case(case: Any) -> HostileRequest:
    """The bytes that requests would send."""
    import requests

    known = {"method", "url", "headers", "files", "data", "params", "auth", "cookies", "json"}
    options: Mapping[str, Any] = case.as_transport_kwargs(base_url="http://localhost")
    prepared = requests.Request(**{name: value for name, value in options.items() if name in known}).prepare()
    method = str(prepared.method)
    content = f"{method} {prepared.path_url} HTTP/1.1\r\nHost: localhost\r\n".encode("latin-1", "replace")
    content += (
        b"".join(encode_header(name, value) for name, value in prepared.headers.items()) + b"\r\n" + read_body(prepared)
    )
    return HostileRequest("derived from the OpenAPI document", (content,), method=method)


def encode_header(name: str | bytes, value: str | bytes) -> bytes:
    texts = (each.encode("latin-1", "replace") if isinstance(each, str) else each for each in (name, value))
    return b": ".join(texts) + b"\r\n"


def read_body(prepared: requests.PreparedRequest) -> bytes:
    body = prepared.body or b""
    return body.encode() if isinstance(body, str) else bytes(body)
