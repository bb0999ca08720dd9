"""A small server that speaks the Open Inference Protocol by the modules of ``entrypoints.open_inference``, and Triton's client.

Two models: ``graphs`` has no code of its own and two graphs, ``speaker`` takes a form and has one graph.
"""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from entrypoints.contract import Answer, BadRequest, Field
from entrypoints.manifest.reader import parse_manifest
from entrypoints.open_inference import metadata, repository
from entrypoints.open_inference.infer.answer import answer_infer, read_infer
from entrypoints.open_inference.infer.form import make_outputs, read_parts
from entrypoints.open_inference.infer.graph import run_graph
from entrypoints.open_inference.infer.request import InferRequest
from entrypoints.open_inference.models import ImageModel, ModelDirectory, OfferedModel, UnknownModel
from entrypoints.open_inference.raw_infer import RawInfer
from entrypoints.open_inference.routes import NoRoute, Route, WrongMethod, find_route
from entrypoints.open_inference.statistics import ModelStatistics
from entrypoints.runtime.onnx_session import OnnxSession
from prebake.documents.canonical import seal
from tests.support.container.baking import make_model, make_total
from tests.support.http_server import QuietHandler, serving_http
from tests.support.manifests import make_manifest

TOKEN = "a-token-of-the-test"
FIELDS = (
    Field("text", "text", "What to say.", required=True, maximum=100),
    Field("clip", "file", "Whose voice."),
    Field("repeat", "integer", "How often.", default=1),
    Field("speed", "number", "How fast."),
    Field("format", "choice", "As what.", default="json", choices=("json", "wav")),
)
SPECS: dict[str, Any] = {"numbers": ["float32", ["rows", 2]], "flags": ["bool", []], "texts": ["string", ["texts"]]}
"""Of the graph ``echo``, whose outputs are its inputs."""
Result = tuple[int, bytes, Mapping[str, str]]


def make_echo() -> bytes:
    kinds = {"numbers": TensorProto.FLOAT, "flags": TensorProto.BOOL, "texts": TensorProto.STRING}
    inputs = [helper.make_tensor_value_info(name, kinds[name], shape) for name, (_, shape) in SPECS.items()]
    outputs = [helper.make_tensor_value_info(f"{name}_out", kinds[name], shape) for name, (_, shape) in SPECS.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in SPECS]
    content: bytes = make_model(helper.make_graph(nodes, "echo", inputs, outputs)).SerializeToString()
    return content


def make_directory() -> ModelDirectory:
    echo = {"inputs": SPECS, "outputs": {f"{name}_out": spec for name, spec in SPECS.items()}}
    total: dict[str, Any] = {"outputs": {"y": ["float32", ["batch", 1]]}}
    graphs = make_manifest({"echo": echo, "total": total})
    graphs["model"]["module"] = "entrypoints.model.tensor_model"
    models = {"graphs": (graphs, ()), "speaker": (make_manifest({"total": total}), FIELDS)}
    return ModelDirectory(
        [ImageModel(name, parse_manifest(seal(each)), fields) for name, (each, fields) in models.items()]
    )


def speak(request: InferRequest) -> Answer:
    """What the model ``speaker`` answers: the parts of its form, or the text as a sound."""
    parts: dict[str, Any] = read_parts(FIELDS, request.inputs)
    clip = parts.get("clip", b"")
    parts["clip"] = len(b64decode(clip) if isinstance(clip, str) else clip)
    if parts.get("format") == "wav":
        return Answer(b"RIFF" + bytes(range(256)), "audio/wav")
    return Answer(json.dumps(parts).encode(), "application/json")


class Service:
    def __init__(self, token: str = TOKEN) -> None:
        self.directory = make_directory()
        self.statistics: dict[tuple[str, str], ModelStatistics] = {}
        self.loaded = {model.name for model in self.directory.listed}
        self._token = token
        self._sessions = {
            name: OnnxSession(onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]))
            for name, content in {"echo": make_echo(), "total": make_total().SerializeToString()}.items()
        }
        self._handlers: dict[str, Callable[[Route, Mapping[str, str], bytes], object]] = {
            "server metadata": lambda *_: metadata.describe_server("0.1"),
            "live": lambda *_: {"live": True},
            "ready": lambda *_: {"ready": True},
            "model ready": lambda route, *_: metadata.describe_readiness(self._find(route), ready=True),
            "model metadata": lambda route, *_: metadata.describe_model(self._find(route)),
            "model config": lambda route, *_: metadata.describe_config(self._find(route), workers=1, device="cpu"),
            "model statistics": lambda route, *_: metadata.describe_statistics([self._count(self._find(route))]),
            "statistics": lambda *_: metadata.describe_statistics([*map(self._count, self.directory.listed)]),
            "repository index": self._list_models,
            "load": self._load,
            "unload": self._load,
            "shared memory status": lambda *_: [],
            "unregister shared memory": lambda *_: {},
        }

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Result:
        try:
            route = find_route(method, path)
            if route.operation == "infer":
                return self._infer(route, headers, body)
            if route.operation not in self._handlers:
                return self._write(404, metadata.describe_error("There is no shared memory here."))
            return self._write(200, self._handlers[route.operation](route, headers, body))
        except (NoRoute, UnknownModel) as error:
            return self._write(404, metadata.describe_error(str(error)))
        except WrongMethod as error:
            return self._write(405, metadata.describe_error(str(error)))
        except (BadRequest, repository.NotAllowed) as error:
            return self._write(error.status, metadata.describe_error(str(error)))

    def _find(self, route: Route) -> OfferedModel:
        return self.directory.find(route.model, route.version)

    def _count(self, model: OfferedModel) -> dict[str, Any]:
        return self.statistics.setdefault(model.key, ModelStatistics()).describe(model.name)

    def _list_models(self, _route: Route, _headers: Mapping[str, str], body: bytes) -> object:
        states = {model.name: "ready" if model.name in self.loaded else "unloaded" for model in self.directory.listed}
        entries = [repository.IndexEntry(name, state) for name, state in states.items()]
        return repository.describe_index(entries, only_ready=repository.read_index_request(body))

    def _load(self, route: Route, headers: Mapping[str, str], body: bytes) -> object:
        repository.check_admin(headers.get("authorization", ""), self._token)
        repository.check_load_request(body)
        (self.loaded.add if route.operation == "load" else self.loaded.discard)(self._find(route).name)
        return {}

    def _infer(self, route: Route, headers: Mapping[str, str], body: bytes) -> Result:
        model, begun = self._find(route), time.perf_counter_ns()
        statistics = self.statistics.setdefault(model.key, ModelStatistics())
        if encoding := headers.get("content-encoding"):
            body = zlib.decompress(body, 31 if encoding == "gzip" else 15)
        raw = RawInfer(
            model.name,
            model.component,
            body,
            header_length=headers.get("inference-header-content-length", ""),
            accept_encoding=headers.get("accept-encoding", ""),
        )
        try:
            prepared = read_infer(model, raw, json.loads, ignore)
            answer, times = answer_infer(prepared, lambda request: self._run(model, request))
        except BadRequest:
            statistics.add_failure(time.perf_counter_ns() - begun)
            raise
        statistics.add_success(time.perf_counter_ns() - begun, 0, times)
        return 200, answer.body, {"content-type": answer.media_type, **answer.headers}

    def _run(self, model: OfferedModel, request: InferRequest) -> Mapping[str, np.ndarray]:
        if model.takes_form:
            return make_outputs(speak(request))
        return run_graph(model, self._sessions[model.component], request.inputs)

    @staticmethod
    def _write(status: int, document: object) -> Result:
        return status, json.dumps(document).encode(), {"content-type": "application/json"}


def ignore(_amount: int, _what: str) -> None:
    """In place of a budget of memory."""


@contextlib.contextmanager
def serve(service: Service) -> Iterator[int]:
    """Its port on loopback."""

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, content, described = service.answer(self.command, self.path, headers, body)
            self.send_response(status)
            for name, value in {**described, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # the name that http.server calls

    with serving_http(Handler) as port:
        yield port


@contextlib.contextmanager
def triton_client(port: int, **options: Any) -> Iterator[Any]:
    """A tritonclient.http.InferenceServerClient. Imported here: it takes a second, and few tests use it."""
    from tritonclient.http import InferenceServerClient

    client = InferenceServerClient(f"127.0.0.1:{port}", **options)
    try:
        yield client
    finally:
        client.close()


def make_input(name: str, array: np.ndarray, *, binary: bool = True, datatype: str = "") -> Any:
    """A tritonclient.http.InferInput."""
    from tritonclient.http import InferInput
    from tritonclient.utils import np_to_triton_dtype

    described = InferInput(name, list(array.shape), datatype or np_to_triton_dtype(array.dtype))
    return described.set_data_from_numpy(array, binary_data=binary)
