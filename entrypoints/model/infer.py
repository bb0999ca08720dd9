"""Requests of the Open Inference Protocol in the model process: read in the thread of the channel, computed by a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from entrypoints.contract import Answer, BadRequest, Components
from entrypoints.forms.fields import convert_form, measure_form
from entrypoints.forms.form import Form, read_content
from entrypoints.forms.json_body import estimate_json_bytes, read_json
from entrypoints.forms.limits import MemoryShare
from entrypoints.model.inference import Inference
from entrypoints.model.preload import Preload
from entrypoints.model.worker import Worker
from entrypoints.open_inference.infer.answer import PreparedInfer, answer_infer, read_infer
from entrypoints.open_inference.infer.form import make_outputs, read_parts
from entrypoints.open_inference.infer.graph import run_graph
from entrypoints.open_inference.models import ImageModel, ModelDirectory, OfferedModel
from entrypoints.open_inference.raw_infer import RawInfer
from entrypoints.processes.log import request_context

if TYPE_CHECKING:
    from entrypoints.model.inference import Compute


def prepare_infer(worker: Worker, preload: Preload, raw: RawInfer, share: MemoryShare) -> tuple[Compute, float | None]:
    """Read a request. Returns the function that computes its answer, and the timeout that its client set, in seconds.

    Raises BadRequest (400) for a request that does not fit the model, and HTTPException: 413 for one that is too large, 422 for
    fields that are wrong, 503 if memory is short.
    """
    assert preload.manifest is not None and preload.components is not None and worker.model is not None  # noqa: PT018, S101
    limit = preload.manifest.limits.body_bytes
    try:
        body = read_content(raw, limit, share)
    except ValueError as error:
        raise BadRequest(f"The body cannot be read: {error}.", status=400) from None

    def load_json(text: bytes) -> Any:
        share.grow_to(len(body) + estimate_json_bytes(text), "the JSON")
        return read_json(text)

    def reserve(amount: int, what: str) -> None:
        share.grow_to(len(body) + amount, what)

    model = find_model(preload, worker, raw)
    if raw.protobuf:
        from entrypoints.open_inference.grpc.infer_request import prepare_infer_message  # only images with gRPC have it

        prepared = prepare_infer_message(model, body, reserve)
    else:
        prepared = read_infer(model, raw._replace(body=body), load_json, reserve)
    timeout = prepared.request.timeout
    if model.takes_form:
        form = Form(read_parts(worker.fields, prepared.request.inputs), is_json=True)
        values = convert_form(worker.fields, form)
        share.shrink_to(measure_form(values))
        prepared = prepared._replace(request=prepared.request._replace(inputs={}))
        return worker.make_call(raw.context, values, partial(finish_form, prepared)), timeout
    return partial(answer_graph, preload.components, prepared, raw.context), timeout


def find_model(preload: Preload, worker: Worker, raw: RawInfer) -> OfferedModel:
    """The server process has found it by its name, which may be a short one."""
    image = ImageModel("model", preload.manifest, worker.fields)
    model = next(each for each in ModelDirectory([image]).listed if each.component == raw.component)
    return model._replace(name=raw.name)


def answer_graph(
    components: Components, prepared: PreparedInfer, context: Mapping[str, str], inference: Inference
) -> Answer:
    request_context.set(context)
    model = prepared.model
    session = components.session(model.component)
    answer, inference.times = answer_infer(prepared, lambda request: run_graph(model, session, request.inputs))
    return answer


def finish_form(prepared: PreparedInfer, inference: Inference, generate: Callable[[], Answer]) -> Answer:
    """``generate`` computes the model's own answer, or has it from a batch."""
    answer, inference.times = answer_infer(prepared, lambda _: make_outputs(generate()))
    return answer
