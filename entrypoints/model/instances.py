"""A request of Vertex AI in the model process: a list of instances, each of which is a form, answered by a list of predictions.

https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements, "Prediction requests".
"""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from entrypoints.contract import Answer, Cancelled, Model
from entrypoints.forms.fields import convert_form, measure_form
from entrypoints.forms.form import Form, read_content
from entrypoints.forms.json_body import estimate_json_bytes, read_json
from entrypoints.forms.limits import MemoryShare
from entrypoints.forms.raw_request import RawRequest
from entrypoints.open_inference.infer.form import is_text
from entrypoints.processes.log import request_context
from entrypoints.response import HTTPException, error_response

if TYPE_CHECKING:
    from entrypoints.contract import Field
    from entrypoints.model.inference import Compute, Inference
    from entrypoints.model.preload import Preload
    from entrypoints.model.worker import Worker

INSTANCES = "instances"
KEYS = (INSTANCES, "parameters")
BASE64 = "b64"
"""Vertex AI's key of an object that stands for bytes."""
MOST_INSTANCES = 10_000
"""Of one request. They are converted in the thread that reads messages, which the requests of other clients wait for."""
MOST_PROBLEMS = 20
"""Wrong fields after which no further instance is looked at."""
COPIES = 3
"""How often a prediction is in memory at the end: as its own text, in the text of all, and in the answer's bytes."""


def prepare_request(worker: Worker, preload: Preload, request: RawRequest, share: MemoryShare) -> Compute:
    """Read a JSON body: one form, or a list of instances with the parameters that all of them have.

    Raises HTTPException: 400 for a body that is malformed, 413 for one that is too large, 422 for fields that are wrong, 503 if
    memory is short.
    """
    assert worker.model is not None and preload.manifest is not None  # requests come after ready  # noqa: PT018, S101
    try:
        body = read_content(request, preload.manifest.limits.body_bytes, share)
        json_bytes = estimate_json_bytes(body)
        share.grow_to(json_bytes, "the JSON")
        document = read_json(body)
        if not isinstance(document, dict):
            raise ValueError("the JSON should be an object of fields, or of instances")
        is_list = INSTANCES in document
        forms = read_instances(document) if is_list else iter(())
    except (ValueError, RecursionError) as error:
        raise HTTPException(error_response(400, f"The body cannot be read: {error}.")) from None
    if not is_list:
        form = convert_form(worker.fields, Form(read_parts(document), is_json=True))
        share.shrink_to(measure_form(form))
        return worker.make_call(request.context, form)
    values, taken = convert_instances(worker.fields, forms, share, json_bytes)
    share.shrink_to(taken)
    return partial(answer_instances, worker.model, request.context, values, share, taken)


def read_instances(document: Mapping[str, Any]) -> Iterator[Form]:
    """One after the other: the form of a short instance may have many ``parameters``. Raises ValueError at once."""
    if unknown := [name[:60] for name in document if name not in KEYS]:
        raise ValueError(f"{unknown[0]!r} is neither of {', '.join(KEYS)}")
    instances, parameters = document[INSTANCES], document.get("parameters") or {}
    if not isinstance(instances, list) or not instances or not all(isinstance(each, dict) for each in instances):
        raise ValueError('"instances" should be a list of at least one object of fields')
    if len(instances) > MOST_INSTANCES:
        raise ValueError(f"it has {len(instances):,} instances; send at most {MOST_INSTANCES:,} in one request")
    if not isinstance(parameters, dict):
        raise ValueError('"parameters" should be an object of fields')
    return (Form(read_parts({**parameters, **instance}), is_json=True) for instance in instances)


def read_parts(fields: Mapping[str, Any]) -> dict[str, object]:
    """A file is text in base64, as in any JSON, or Vertex AI's object of it."""
    return {
        name: value[BASE64] if isinstance(value, dict) and value.keys() == {BASE64} else value
        for name, value in fields.items()
        if value is not None
    }


def convert_instances(
    fields: Sequence[Field], forms: Iterable[Form], share: MemoryShare, json_bytes: int
) -> tuple[list[dict[str, object]], int]:
    """The model's forms, and the bytes of memory that they take: each has a copy of a file in ``parameters``.

    ``json_bytes``: what ``share`` holds. Raises HTTPException: 422 that names the first wrong fields, 413 or 503 if memory is
    short.
    """
    values: list[dict[str, object]] = []
    wrong: dict[str, str] = {}
    taken = 0
    for number, form in enumerate(forms):
        try:
            value = convert_form(fields, form)
        except HTTPException as error:
            problems = json.loads(error.response.body)["error"]["fields"]
            wrong |= {f"instances[{number}].{name}": text for name, text in problems.items()}
            if len(wrong) >= MOST_PROBLEMS:  # to look at a million more would hold up every other request
                break
            continue
        if not wrong:
            taken += sys.getsizeof(value) + measure_form(value)
            share.grow_to(json_bytes + taken, "the instances")
            values.append(value)
    if wrong:
        named = "; ".join(f"{name} {problem}" for name, problem in wrong.items())
        more = "; more may be wrong" if len(wrong) >= MOST_PROBLEMS else ""
        raise HTTPException(error_response(422, f"{named}{more}.", wrong))
    return values, taken


def answer_instances(
    model: Model,
    context: Mapping[str, str],
    values: Sequence[Mapping[str, object]],
    share: MemoryShare,
    taken: int,
    inference: Inference,
) -> Answer:
    """One after the other, in the worker's thread. ``taken``: the bytes of ``values``, which ``share`` holds.

    Raises HTTPException (413, 503) if the predictions take too much memory.
    """
    request_context.set(context)
    predictions = []
    for each in values:
        if inference.cancelled():
            raise Cancelled
        predictions.append(write_prediction(model.generate(each, inference)))
        taken += COPIES * sys.getsizeof(predictions[-1])
        share.grow_to(taken, "the predictions")
    return Answer(f'{{"predictions": [{", ".join(predictions)}]}}'.encode(), "application/json")


def write_prediction(answer: Answer) -> str:
    """JSON as it is, text as text, and other answers in base64 with their media type, those too that are not the JSON or the
    UTF-8 that they should be: one of them must not spoil the others."""
    kind = answer.media_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/json" or kind.endswith("+json"):
            return json.dumps(json.loads(answer.body), allow_nan=False)
        if is_text(answer.media_type):
            return json.dumps(answer.body.decode())
    except (ValueError, RecursionError):
        pass
    return json.dumps({BASE64: b64encode(answer.body).decode(), "media_type": answer.media_type})
