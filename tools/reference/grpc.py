"""The section of docs/reference/endpoints.md about gRPC.

``tests/integration/reference/test_endpoints.py`` compares the methods below with those that the server answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.server.grpc.grpc_status import RESOURCE_EXHAUSTED, STATUSES
from tools.reference.markdown import code, table

METHODS: Mapping[str, str] = {
    "ServerLive": "`GET /v2/health/live`",
    "ServerReady": "`GET /v2/health/ready`",
    "ModelReady": "`GET /v2/models/MODEL/ready`; `ready` is false, without an error, for a model that does not exist",
    "ServerMetadata": "`GET /v2`",
    "ModelMetadata": "`GET /v2/models/MODEL`",
    "ModelConfig": "`GET /v2/models/MODEL/config`",
    "ModelStatistics": "`GET /v2/models/MODEL/stats`; without a name `GET /v2/models/stats`",
    "ModelInfer": "`POST /v2/models/MODEL/infer`: inputs as `raw_input_contents` or typed contents, outputs as "
    "`raw_output_contents`",
    "RepositoryIndex": "`POST /v2/repository/index`",
    "RepositoryModelLoad": "`POST /v2/repository/models/MODEL/load`",
    "RepositoryModelUnload": "`POST /v2/repository/models/MODEL/unload`",
    "Check": "Health: SERVING or NOT_SERVING. The service is empty for readiness, `live` for liveness, or a model's name",
    "Watch": "the same as a stream: each change, within half a second",
}
"""By method, the operation of REST that it is the same as, or its answer."""


def write_section() -> tuple[str, ...]:
    """The parts of the section."""
    return (
        "## gRPC",
        "An image with `serving: {grpc: true}` in image.yaml also serves these services at `PREBAKE_GRPC_PORT` (8001), without "
        "TLS: `inference.GRPCInferenceService` ([open_inference.proto](open_inference.proto)) and `grpc.health.v1.Health`. There "
        "is no reflection service.",
        table(("method", "the same as, or answer"), [(code(name), text) for name, text in METHODS.items()]),
        "An error has the text that REST gives, and one of these statuses. RESOURCE_EXHAUSTED and UNAVAILABLE come with "
        "`retry-after` (seconds) and a `google.rpc.RetryInfo` in the trailing metadata.",
        table(
            ("status of gRPC", "status over REST"),
            [(name, ", ".join(map(str, statuses))) for name, statuses in find_statuses().items()],
        ),
        "Other statuses from 400 to 499 are INVALID_ARGUMENT. Metadata of a call: `x-request-id` and `traceparent` as the "
        "[headers](#request-headers), `authorization` for load and unload. The answer has `x-request-id` as trailing metadata.",
    )


def find_statuses() -> dict[str, list[int]]:
    """The statuses of HTTP by that of gRPC."""
    found: dict[str, list[int]] = {}
    for status, name in STATUSES.items():
        found.setdefault(name, []).append(status)
    return {**found, f"{RESOURCE_EXHAUSTED} (the queue is full, or memory is short)": [503]}
