"""docs/reference/endpoints.md: what the container's server answers.

Paths, methods, statuses of the pages and media types come from the server's own application, which is called here in each state.
``tests/integration/reference/test_endpoints.py`` compares the tables below with it, and with the statuses in the code.
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.open_inference.routes import TABLE, Operation
from entrypoints.server.event_stream import MEDIA_TYPE as EVENT_STREAM
from entrypoints.server.http.access_log import CLIENT_CLOSED_REQUEST
from entrypoints.server.page.page_files import HEADERS as PAGE_HEADERS
from entrypoints.server.readiness import MAX_WAIT_SECONDS
from entrypoints.server.usage import RECENT_REQUESTS
from tools.reference import grpc
from tools.reference.application import call, make_app
from tools.reference.markdown import code, codes, page, table

MEANINGS: Mapping[str, str] = {
    "/": "To a browser, [the page](../page.md). To programs: the model's name, checkpoint, target and status, the endpoints, "
    "and the fields of a request. With several "
    "models: the image's name, and these under `models`.",
    "/health": "`status`, `device`, `timestamp`, `reason` (while the server is not ready) and `fallbacks`. With "
    "several models: ready if every model is ready, failed if one has failed.",
    "/metrics": "The [metrics](metrics.md) for Prometheus.",
    "/startup": "The start: `state`, `reason`, `ready_seconds`, `phases`, `imports`, `notices`, `opened` (by "
    "component, the candidate that was opened), `fallbacks`, `threads`, `verify` and `extra_files`. With several "
    "models: these keys for the server, and under `models` for each model. [Operate](../operate.md#look-at-a-start) "
    "explains the keys.",
    "/status": "What [the page](../page.md) shows: state and phases of the start, the machine, each model with its components, "
    "memory in bytes and requests (`arrivals`, and the `hits` that found all of it in memory), fallbacks, and the last "
    f"{RECENT_REQUESTS} requests for models.",
    "/v2/health/live": "Liveness, at the path of the Open Inference Protocol: `live` is false once the server has "
    "failed.",
    "/v2/health/ready": "Readiness, at the path of the Open Inference Protocol. With several models: ready if "
    "every model is ready.",
    "/ping": "Readiness, at SageMaker's path.",
    "/openapi.json": "The OpenAPI document of this image: its fields, tensors and limits. 503 until they are known.",
    "/generate": "The model's answer. Its media type is the model's own.",
    "/invocations": "The same as `POST /generate`, at SageMaker's path. In an image of several models "
    "`X-Amzn-SageMaker-Target-Model` has the model's name.",
    "/v2/models/NAME/ready": "Readiness of one model.",
    "/v2/models/NAME/generate": "The same as `POST /generate`, for one model. The path is that of Triton's generate "
    "extension. In an image of one model, NAME is the image's name.",
}
"""By path. ``NAME`` stands for a model of an image of several models."""

GENERATE_STATUSES: Mapping[int, str] = {
    200: "The answer; of an event stream, its beginning.",
    400: "The body cannot be read: it is malformed, or has a field twice.",
    404: "There is no such endpoint. An image of several models has no `/generate`; the message lists the endpoints that it has.",
    405: "The method is not POST; `Allow` has the methods.",
    408: "The body did not arrive within `limits.seconds`.",
    413: "The body is larger than the fields of the model can need, or than `limits.body_bytes`, or would take more memory "
    "than all requests have.",
    415: "The content type or encoding is none of those that [`Content-Type`](#request-headers) and `Content-Encoding` may "
    "name.",
    422: "Fields are missing, unknown or invalid; `fields` has each by name. A model that refuses a request answers with "
    "422, too, or with another status from 400 to 499 that its code chose.",
    500: "The model failed at this request, or its process ended.",
    503: "The server is not ready, is stopping, all places of the queue (`limits.queue`) are taken, or other requests take "
    "the memory that this one needs. `Retry-After` has seconds, if another attempt can succeed.",
    504: "`limits.seconds` after it came, the request was still in the queue, or the model at work.",
}

COMMON_STATUSES: Mapping[int, str] = {
    204: "`OPTIONS *`.",
    400: "The request is not valid HTTP, or a proxy could read it differently: both `Content-Length` and `Transfer-Encoding`, "
    "a header in two lines, a line that does not end with CR LF.",
    403: "A POST of a web page of another origin; `PREBAKE_ALLOWED_ORIGINS` lists the pages that may send one.",
    405: "`CONNECT`.",
    408: "The head did not arrive within 10 s, or the body arrives too slowly: it may take 20 s, and one more for each "
    "1024 bytes.",
    421: "A POST to a host that `PREBAKE_ALLOWED_HOSTS` does not list.",
    431: "The head has more than 16 KiB, or more than 100 headers.",
    500: "The server's own code failed; its log says why.",
    501: "The body has a `Transfer-Encoding` other than `chunked`.",
    503: "There is no place for one more connection (`PREBAKE_MAX_CONNECTIONS`), or the server stops.",
    505: "The version of HTTP is neither 1.0 nor 1.1.",
}
"""Of requests that no endpoint sees."""

REQUEST_HEADERS: Mapping[str, tuple[str, str]] = {
    "Content-Type": (
        "generate",
        "`multipart/form-data`, `application/x-www-form-urlencoded` or `application/json`. Files are parts with a "
        "file name, or base64 in JSON.",
    ),
    "Content-Encoding": ("generate", "`gzip` or `deflate`: how the body is compressed."),
    "Accept": (
        "generate, `/`",
        f"`{EVENT_STREAM}`: answer as [server-sent events](../concepts/serving.md#progress-while-the-model-works), "
        "with the request's place in the queue and the model's progress. At `/`, HTML before JSON asks for the page.",
    ),
    "X-Request-Id": (
        "all",
        "The request's id in the log and in the answer: 1 to 128 of the characters `A-Za-z0-9._:/+=-`. Otherwise the server "
        "chooses one.",
    ),
    "Authorization": ("load, unload, clear", "`Bearer TOKEN`, the value of `PREBAKE_ADMIN_TOKEN`."),
    "Inference-Header-Content-Length": (
        "infer",
        "The bytes of the JSON, if binary tensors follow it; 0 for one raw tensor.",
    ),
    "Accept-Encoding": ("infer", "An answer is compressed by gzip or deflate if the client accepts it."),
    "X-Amzn-SageMaker-Target-Model": ("/invocations", "The model's name, in an image of several."),
    "traceparent": ("all", "Its trace id is in the log, if it is valid (W3C Trace Context)."),
    "Host": ("generate", "Compared with `PREBAKE_ALLOWED_HOSTS`, if that is set."),
    "Origin": (
        "generate",
        "The page that sends the request, by a browser: the server's own, or one of `PREBAKE_ALLOWED_ORIGINS`.",
    ),
    "Prefer": (
        "generate, ready",
        f"`wait=N`: while the model is starting, wait up to N seconds until it is ready. Generate waits at most "
        f"`limits.seconds`, which counts from its arrival, the readiness endpoints at most {MAX_WAIT_SECONDS:g} seconds.",
    ),
}
"""By header: the endpoints that read it, and what it does."""

PAGE_HEADER_NAMES = (
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Referrer-Policy",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "Permissions-Policy",
)
"""In all files of the page."""

RESPONSE_HEADERS: Mapping[str, tuple[str, str]] = {
    "Server-Timing": ("generate, 200", "milliseconds in the queue (`queue`) and of the model's work (`generate`)"),
    "Preference-Applied": ("generate", "`wait=N`, if the request waited for readiness"),
    "Retry-After": ("503", "seconds until another attempt can succeed"),
    "X-Request-Id": ("all", "the id of the request, as in the log"),
    "WWW-Authenticate": ("401", "`Bearer`"),
    "Allow": ("405", "the methods of the path"),
    "Cache-Control": ("JSON, event streams, the page", "`no-store`"),
    "Vary": ("`/`", "`accept`"),
    **{header: ("the page", code(PAGE_HEADERS[header.lower()])) for header in PAGE_HEADER_NAMES},
}


OPERATIONS: Mapping[Operation, str] = {
    "server metadata": "Name, version and extensions of the server.",
    "live": "Liveness.",
    "ready": "Readiness.",
    "model ready": "Whether the model answers.",
    "model metadata": "Inputs and outputs of the model.",
    "model config": "Triton's model configuration, as JSON.",
    "model statistics": "Counts and durations of the model's inferences since the container started.",
    "statistics": "The same, of all models.",
    "infer": "Tensors in, tensors out: JSON, the binary tensor extension, or one raw tensor.",
    "generate": "The fields of the form in, the model's own answer out.",
    "repository index": "All models, and their states.",
    "load": "Loads a model that was unloaded, and answers once it is ready. Needs `PREBAKE_ADMIN_TOKEN`.",
    "unload": "Answers what the model has accepted, then ends its process, which frees its memory. Needs `PREBAKE_ADMIN_TOKEN`.",
    "clear": "Prebake's own: the model's process gives back the memory that it keeps for later requests, after those that wait. "
    "The answer has its resident bytes before and after. Needs `PREBAKE_ADMIN_TOKEN`.",
    "shared memory status": "An empty list: there is no shared memory.",
    "shared memory region status": "400: there is no shared memory.",
    "register shared memory": "400: there is no shared memory.",
    "unregister shared memory": "An empty list.",
}
"""The operations of the Open Inference Protocol."""


def find_endpoints() -> dict[str, str]:
    """Every path with its methods, of images with one model and with several."""
    found = {}
    for names in (("",), ("NAME", "OTHER")):
        app = make_app(names, "starting")
        for path in (*app._pages, *app._models, *(app._aliases if names == ("",) else ())):
            if "OTHER" not in path:
                found[path] = call(app, "DELETE", path).headers["allow"]
    return found


def find_statuses(path: str) -> dict[int, list[str]]:
    """The statuses of a page, each with the states of the server in which it is answered."""
    statuses: dict[int, list[str]] = {}
    for state in ("starting", "ready", "failed", "draining"):
        answer = call(make_app(("NAME", "OTHER") if "NAME" in path else ("",), state), "GET", path)
        statuses.setdefault(answer.status, []).append(state)
    return statuses


def write_page() -> str:
    endpoints = find_endpoints()
    return page(
        "Endpoints",
        "The container's server answers these paths at `PREBAKE_PORT` (without it `PORT`, else 8000).",
        """```sh
curl localhost:8000/v2/health/ready -H 'Prefer: wait=30'
curl -F prompt='rain on a tin roof' -F video=@clip.mp4 localhost:8000/generate -o sound.wav
```""",
        table(
            ("method", "path", "statuses", "media type", "answer"),
            [
                (methods, code(path), _statuses(path, methods), _media_type(path, methods), MEANINGS[path])
                for path, methods in endpoints.items()
            ],
        ),
        "A browser that asks for `/` gets HTML, whose files are below `/page/`. "
        "The paths with `NAME` exist only in an image of [several "
        "models](../concepts/serving.md#several-models-behind-one-server), in which `/generate` does not. `HEAD` is "
        "answered as `GET`. Another method gets 405, and an unknown path 404.",
        "## Open Inference Protocol",
        "Every image speaks version 2 of the protocol and these extensions of Triton. MODEL is the image's name, or the name "
        "of one of its models; `MODEL.COMPONENT` is a graph of it, and `COMPONENT` alone too if only one model has a graph of "
        "that name. The inputs of a model with code of its own are the fields of its form, of one element each; its outputs are "
        "`body` and `media_type`. A path with `versions/1` after the name means the same.",
        table(
            ("method", "path", "answer"),
            [
                (method, code(path.replace("{model}", "MODEL").replace("{region}", "REGION")), OPERATIONS[operation])
                for method, path, operation in TABLE
                if "{version}" not in path
            ],
        ),
        'Under `/v2` an error is `{"error": TEXT}`, with `fields` beside it if fields are wrong. An infer request with the '
        "parameter `timeout` (microseconds) waits no longer than that. Load, unload and clear answer 403 if the container has no "
        "`PREBAKE_ADMIN_TOKEN`, and 401 without `Authorization: Bearer TOKEN`; a load that fails answers 500 with the reason, "
        "and the model stays unloaded. While a model is unloaded its requests get 503, and the server stays ready.",
        *grpc.write_section(),
        "## Statuses of generate",
        table(("status", "when"), [(str(status), text) for status, text in GENERATE_STATUSES.items()]),
        'Every answer with another status than 200 is JSON, `{"error": {"message": …, "fields": {NAME: …}}}`; under `/v2` the '
        "error is text. The "
        f"[metrics](metrics.md) count a client that disconnected before its answer as {CLIENT_CLOSED_REQUEST}. An event "
        "stream begins with 200 once the "
        "request is in the queue; its last event, `answer` or `error`, has the outcome "
        "([the events](../concepts/serving.md#progress-while-the-model-works)).",
        "## Statuses of any request",
        table(("status", "when"), [(str(status), text) for status, text in COMMON_STATUSES.items()]),
        "After such an answer the connection ends. The [metrics](metrics.md) count requests whose head is refused under the "
        "path `invalid`.",
        "## Request headers",
        table(("header", "endpoints", "meaning"), [(code(name), *rest) for name, rest in REQUEST_HEADERS.items()]),
        "## Response headers",
        table(("header", "answers", "meaning"), [(code(name), *rest) for name, rest in RESPONSE_HEADERS.items()]),
    )


def _statuses(path: str, methods: str) -> str:
    if methods == "POST":
        return "[below](#statuses-of-generate)"
    statuses = find_statuses(path)
    if len(statuses) == 1:
        return str(*statuses)
    return "; ".join(f"{status}: {', '.join(states)}" for status, states in sorted(statuses.items()))


def _media_type(path: str, methods: str) -> str:
    if methods == "POST":
        return f"the model's, or {code(EVENT_STREAM)}"
    names = ("NAME", "OTHER") if "NAME" in path else ("",)
    return codes([call(make_app(names, "ready"), "GET", path).media_type])
